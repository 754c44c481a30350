"""docs/backends.md: its matrix has every op, code and model, and says of ops what the backends say now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sdllm.backends.conformance.bench import Bench
from sdllm.backends.conformance.families import FAMILIES
from sdllm.backends.conformance.ops import PARTS
from sdllm.backends.conformance.parts import SIGNED, UNSIGNED
from sdllm.backends.conformance.suite import taken_parts
from sdllm.backends.registry import backend
from sdllm.ir import OPS

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"
AGAIN = "run `python -m sdllm.backends.conformance --write docs/backends.md`"


def table(section: str) -> tuple[list[str], dict[str, list[str]]]:
    """Columns and rows of one table."""
    found = re.search(
        rf"^\| {section} \|(.*)\|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found, AGAIN
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[2].splitlines()]
    return [name.strip() for name in found[1].split("|")], {row[0]: row[1:] for row in rows}


def test_nothing_is_left_out() -> None:
    assert list(table("ops")[1]) == sorted(OPS), AGAIN
    assert list(table("spike codes")[1]) == [str(code) for code in (*SIGNED, *UNSIGNED)], AGAIN
    assert list(table("models")[1]) == [family.name for family in FAMILIES], AGAIN
    assert "FAILS" not in PAGE.read_text(encoding="utf-8")
    assert {"c", "reference", "simulator"} <= set(table("ops")[0])


@pytest.mark.parametrize("name", table("ops")[0] if "| ops |" in PAGE.read_text(encoding="utf-8") else [])
def test_it_says_what_the_backend_says(name: str, tmp_path: Path) -> None:
    columns, rows = table("ops")
    bench = Bench(backend(name), tmp_path)
    for op, cells in rows.items():
        cell = {"row": op, "says": "yes"}
        taken_parts(bench, PARTS[op], cell)
        assert cells[columns.index(name)] == cell["says"], f"{op}: {AGAIN}"
