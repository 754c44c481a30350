"""docs/coverage.md is made of results, and current."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.compiler.frontend.coverage import FAMILIES, REFUSED, Family, Refused, Result, Subject
from sdllm.compiler.frontend.coverage.__main__ import refusal
from sdllm.compiler.frontend.coverage.page import row
from sdllm.compiler.frontend.coverage.shares import shares

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
AGAIN = "run `python -m sdllm.compiler.frontend.coverage --write docs/coverage.md`"


def rows() -> list[list[str]]:
    """The cells of the page's rows, without heads."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("family", "model", "runs on", "spikes", "float")]


def test_it_lists_the_families_that_are_checked() -> None:
    assert [row[0] for row in rows()] == [f.name for f in FAMILIES] + [r.name for r in REFUSED], AGAIN


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_row_says_what_the_program_is(family: Family, subject_of: Callable[[Family], Subject]) -> None:
    """All but the difference, which only a run can tell, and which must be one of the two bounds."""
    written = next(row for row in rows() if row[0] == family.name)
    subject = subject_of(family)
    fresh = row(subject, Result(len(subject.expected), 0.0, 1.0)).text()
    assert written[:-1] == [cell.strip() for cell in fresh.strip("|").split("|")][:-1], AGAIN
    assert written[-1] in ("≤ 2e-5", "≤ 1e-4")


def test_shares_are_current() -> None:
    assert PAGE.read_text(encoding="utf-8").endswith(shares()), AGAIN


@pytest.mark.parametrize("refused", REFUSED, ids=lambda r: r.name)
def test_a_refusal_is_quoted(refused: Refused) -> None:
    written = next(row for row in rows() if row[0] == refused.name)
    assert written[2] == refusal(refused), AGAIN
