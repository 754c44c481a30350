"""The listener that keeps a journal while passes run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...backends.counting import DRIVEN, blank_counts, count_op, total
from ...backends.interface import SpikeCount, Stats
from ...ir import Op, Program, Store
from ...ir.interpreter import Interpreter
from ...passes import Pass, Step
from ..spikes import firing, split
from .points import Points, Side, gaps, rounded
from .story import Stories
from .trains import Trains

T = torch.Tensor

TOKENS = 64
"""Tokens that every program of the pipeline is run on."""


@dataclass(frozen=True, slots=True)
class Run:
    """One program on the sample: outputs, points, counts of spikes, what encoders made."""

    outputs: Mapping[str, T]
    side: Side
    stats: Stats
    trains: Trains


@dataclass
class Journal:
    """Listens to a pipeline; `measure` runs each changed program on the sample, one sequence of up to 64 tokens.

    Errors are those of modules against the source in the program's own basis: the source after the exact passes that
    the pipeline begins with (rotations and folded norms compute the same in other coordinates).
    """

    passes: Sequence[Pass]
    store: Store
    tokens: NDArray[np.int64]
    measure: bool = True
    steps: list[dict[str, Any]] = field(default_factory=list)
    _stories: Stories = field(default_factory=Stories)
    _source: Run | None = None
    _twin: Side | None = None
    _last: Run | None = None

    def __call__(self, step: Step) -> None:
        """Take down one step."""
        if self.measure and self._source is None:
            self._source = self._last = self.run(step.before)
            self._twin = self._source.side
        if step.changed:
            self._stories.add(step.index, step.before, step.after)
            if self.measure:
                self._last = self.run(step.after)
        if self.measure and self._last and all(p.exact for p in self.passes[: step.index + 1]):
            self._twin = self._last.side
        self.steps.append(
            {
                "pass": str(step.ran),
                "exact": step.ran.exact,
                "changed": step.changed,
                "ops": [len(step.before.ops), len(step.after.ops)],
                "notes": [[note.module, note.text] for note in step.notes],
                **(self._figures(step.after) if self.measure else {}),
            }
        )

    def run(self, program: Program) -> Run:
        """Run a program on the sample."""
        ids = torch.from_numpy(self.tokens[:1, :TOKENS])
        side, trains, counts = Side(TOKENS // 2), Trains(), blank_counts(program)
        points = Points(side.add)

        def watch(op: Op, operands: tuple[T, ...], results: tuple[T, ...]) -> None:
            points.watch(op, operands, results)
            trains.watch(op, operands, results)
            if op.name in DRIVEN:
                one: SpikeCount = count_op(program, op, tuple(o.numpy() for o in operands))
                counts[op.result.name] = total(counts[op.result.name], one)

        outputs = Interpreter(program, self.store).run({"ids": ids}, watch=watch)
        return Run(outputs, side, Stats(ids.numel(), tuple(counts.values())), trains)

    def _figures(self, program: Program) -> dict[str, Any]:
        """How far the program is from the source now, and what it adds for each multiply-add of its source."""
        assert self._source is not None
        assert self._last is not None
        found: dict[str, Any] = {}
        if "logits" in program.outputs:
            a, b = (torch.log_softmax(r.outputs["logits"], -1) for r in (self._source, self._last))
            found["kl"] = rounded(float((a.exp() * (a - b)).sum(-1).mean()))
        for name, counts in zip(("linear", "attention"), split(program, self._last.stats), strict=True):
            if counts:
                found[f"{name}_additions_per_weight"] = rounded(firing(program, counts).additions_per_weight)
        return found

    def contents(self) -> dict[str, Any]:
        """journal.json."""
        found: dict[str, Any] = {
            "passes": self.steps,
            "lines": list(self._stories.lines),
            "modules": self._stories.modules,
        }
        if self._last is not None and self._twin is not None:
            found["sample_tokens"] = self._last.stats.tokens
            found["gap"] = [gap.as_json() for gap in gaps(self._twin.points, self._last.side.points)]
            found["histograms"] = self._last.trains.histograms
        return found

    def raster(self) -> dict[str, Any]:
        """raster.json; empty where nothing was encoded."""
        if self._last is None or not self._last.trains.encoders:
            return {}
        shown = max(e["shape"][0] for e in self._last.trains.encoders)
        return {"ids": self.tokens[0, :shown].tolist(), "encoders": self._last.trains.encoders}
