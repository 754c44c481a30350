"""docs/coverage.md, made of results."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ....ir import Program
from . import describe
from .families import Family, Refused
from .parity import BOUND, Result, Subject

# Differences are shown by the bound they keep, so that the page does not change from machine to machine.
SHOWN = (2e-5, BOUND)

HEAD = """<!-- Made by `python -m sdllm.compiler.frontend.coverage --write docs/coverage.md`; do not edit. -->
# Model families

Each row is a tiny model with random weights, captured and lowered. The program's logits (or hidden states) are
compared in float32 with those of transformers: batches of 1 and 3; padded left, right and not; several lengths, past
windows and past the original length of rotary positions; all at once and token by token. Real checkpoints of a family
lower in the same way as these rows; a variant of a family that no row shows may still meet an op without a rule, which
is an error that names it.

| family | architecture | attention | positions | norm | checks | max difference |
|---|---|---|---|---|---|---|
"""

REFUSED_HEAD = """
Refused, each with a message that says why:

| model | architecture | message |
|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One checked family."""

    family: Family
    program: Program
    result: Result

    def text(self) -> str:
        """The row of the table."""
        shown = next((f"≤ {b:.0e}".replace("e-0", "e-") for b in SHOWN if self.result.error <= b), "fails")
        cells = [
            self.family.name,
            f"`{self.family.architecture}`",
            describe.attention(self.program),
            describe.positions(self.program),
            describe.norms(self.program),
            str(self.result.cases),
            "NaN" if math.isnan(self.result.error) else shown,
        ]
        return "| " + " | ".join(cells) + " |"


def row(subject: Subject, result: Result) -> Row:
    """The row of a family."""
    return Row(subject.family, subject.program, result)


def page(rows: Iterable[Row], refused: Iterable[tuple[Refused, str]], shares: str) -> str:
    """The whole page; `shares` is its last section."""
    text = HEAD + "".join(r.text() + "\n" for r in rows) + REFUSED_HEAD
    text += "".join(f"| {r.name} | `{r.architecture}` | {message} |\n" for r, message in refused)
    return text + shares
