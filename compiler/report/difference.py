"""A difference as a page: figures, then both sides of every changed op beside each other, then weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from markupsafe import Markup

from ..difference import Difference
from ..difference.names import brief
from .blocks import Table
from .page import render, write_page

_WORD = re.compile(r"[\w.\-]+|\s+|.")


def write_difference(found: Sequence[Difference], out: Path) -> None:
    """Write the page."""
    title = f"{found[0].before} → {found[-1].after}"
    write_page(out, render("difference.html", title=title, found=found, brief=brief, marked=marked, tables=tables))


def tables(one: Difference) -> Iterator[Table]:
    """The tables of a comparison, before and after its ops."""
    rows = [(f.name, f.before, f.after, None if f.change is None else f.change * 100) for f in one.figures]
    yield Table("Figures", ("", "before", "after", "change, %"), rows)
    yield Table("Declarations", ("", "before", "after"), one.declarations)
    weights = [
        (w.name, w.before, w.after, (w.before_sha256 or "")[:8], (w.after_sha256 or "")[:8], w.relative)
        for w in one.weights
    ]
    columns = ("weight", "before", "after", "sha256 before", "sha256 after", "relative change")
    yield Table(f"Weights: {len(weights)} differ, {one.same_weights} do not", columns, weights)


def marked(before: str | None, after: str | None) -> tuple[Markup, Markup]:
    """Both lines with the words that differ marked."""
    if before is None or after is None:
        return Markup.escape(before or ""), Markup.escape(after or "")
    a, b = _WORD.findall(before), _WORD.findall(after)
    left, right = Markup(), Markup()
    for kind, i, i_end, j, j_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        x, y = "".join(a[i:i_end]), "".join(b[j:j_end])
        left += Markup.escape(x) if kind == "equal" else _mark(x)
        right += Markup.escape(y) if kind == "equal" else _mark(y)
    return left, right


def _mark(text: str) -> Markup:
    return Markup("<mark>{}</mark>").format(text) if text else Markup()
