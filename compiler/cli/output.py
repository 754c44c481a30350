"""What commands print: tables for people, JSON for machines."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout."""
    json.dump(value, sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
    print()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; columns of numbers are right-aligned. Plain when piped."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    cells = [[str(cell) for cell in row] for row in rows]
    if title:
        print(title)
    if not cells:
        return
    table = Table(box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(_is_number(row[index]) for row in cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    # A pipe has no width of its own: lines there are as long as they need to be, and end where their words do.
    longest = sum(max(map(len, column)) + 4 for column in zip(columns, *cells, strict=True))
    plain = io.StringIO()
    Console(file=plain, width=max(120, longest), highlight=False).print(table)
    print("\n".join(line.rstrip() for line in plain.getvalue().splitlines()))


def print_marked(line: str, style: str) -> None:
    """A line on stdout; in a style of rich's (`red`, `bold`) on a terminal that has not asked for NO_COLOR."""
    if not sys.stdout.isatty():
        print(line)
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(line, style), soft_wrap=True)


def _is_number(text: str) -> bool:
    return not text or text[0] in "0123456789-+." or text == "n/a"


def si(value: float, unit: str) -> str:
    """A quantity with an SI prefix: 0.00051 J is 510 µJ."""
    for power, prefix in ((9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "µ"), (-9, "n"), (-12, "p")):
        if abs(value) >= 10.0**power:
            return f"{value / 10.0**power:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"
