"""What a section is made of. The page's templates know these kinds and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Text:
    """A paragraph; `strong` for what everybody should read. What stands between backticks is code."""

    kind: ClassVar[str] = "text"
    text: str
    strong: bool = False

    @property
    def marked(self) -> Markup:
        """The text as HTML."""
        code = Markup("<code>{}</code>")
        return Markup().join(code.format(part) if i % 2 else part for i, part in enumerate(self.text.split("`")))


@dataclass(frozen=True)
class Missing:
    """What this folder does not have, and how to get it."""

    kind: ClassVar[str] = "missing"
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells; columns of numbers are aligned and sort as numbers. `folded` tables open on demand."""

    kind: ClassVar[str] = "table"
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    folded: bool = False

    @cached_property
    def cells(self) -> list[list[str]]:
        """Cells as text."""
        return [[show(cell) for cell in row] for row in self.rows]

    @cached_property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers alone."""
        return [
            all(row[i] is None or isinstance(row[i], int | float) for row in self.rows)
            for i in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Plot:
    """A drawing, what it shows in words, and the same as a table beside it."""

    kind: ClassVar[str] = "plot"
    title: str
    svg: Markup
    table: Table


@dataclass(frozen=True)
class Widget:
    """Something the page's script brings to life: its name, and its data as JSON."""

    kind: ClassVar[str] = "widget"
    name: str
    title: str
    data: Mapping[str, Any] = field(default_factory=dict)


Block = Text | Missing | Table | Plot | Widget


def show(value: object) -> str:
    """A cell: floats to four digits, counts with commas, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
