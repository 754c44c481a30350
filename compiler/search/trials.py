"""Trials: pipelines compiled and scored on one text, each once; what came out is kept in a folder."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.interface import Stats
from ...backends.reference import ReferenceRunner
from ...ir import Program, print_program
from ...passes import Context, run_pipeline
from ..compile import Prepared
from ..evaluation.perplexity import losses
from ..evaluation.results import write
from ..recipes import parse_pipeline
from .cost import Cost, cost_of

Tokens = NDArray[np.int64]
Progress = Callable[[int, int, str], None]
FORMAT = 1


@dataclass(frozen=True)
class Outcome:
    """A pipeline's figures on the text: `losses` in nats a token, one a window; cost is None for no pipeline (the
    source). `minutes` are those of the passes."""

    pipeline: str
    losses: tuple[float, ...]
    cost: Cost | None
    minutes: float

    @property
    def loss(self) -> float:
        """Mean loss, nats a token."""
        return math.fsum(self.losses) / len(self.losses)

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(min(self.loss, 700.0))


class Trials:
    """Tries pipelines of one model.

    windows i64 [M, L] are what outcomes are scored on, by the reference interpreter. Each outcome is a file in
    `folder`, named by a hash of everything it depends on, so that a search that was stopped goes on where it was.
    """

    def __init__(
        self,
        prepared: Prepared,
        windows: Tokens,
        folder: Path,
        *,
        seed: int = 0,
        progress: Progress = lambda done, total, what: None,
    ) -> None:
        self.folder = folder
        self._model, self._calibration, self._memo = prepared.model, prepared.calibration.tokens, prepared.memo
        self._windows, self._seed, self._progress = windows, seed, progress
        told = hashlib.sha256(print_program(self._model.program).encode())
        for tokens in (self._calibration, windows):
            told.update(repr(tokens.shape).encode() + np.ascontiguousarray(tokens, dtype="<i8").tobytes())
        told.update(f"{seed} {FORMAT}".encode())
        self._key = told.hexdigest()

    def source(self) -> Outcome:
        """The model as it is."""
        return self.outcome("")

    def outcome(self, pipeline: str) -> Outcome:
        """Compile and score, or read what did so before. Raises what parsing and running a pipeline raise."""
        passes = parse_pipeline(pipeline)
        path = self.folder / f"{hashlib.sha256(f'{self._key} {passes!r}'.encode()).hexdigest()[:16]}.json"
        if path.exists():
            return _read(json.loads(path.read_text(encoding="utf-8")))
        program, minutes = self.compiled(pipeline)
        runner = ReferenceRunner(program, self._model.store)
        scored = losses(runner, self._windows, self._progress)
        length = self._windows.shape[1] - 1
        found = Outcome(pipeline, tuple(s / length for s in scored), _cost(program, runner.stats()), minutes)
        write(path, asdict(found))
        return found

    def compiled(self, pipeline: str) -> tuple[Program, float]:
        """The program that a pipeline makes, and the minutes it took; its weights are in the model's store."""
        began = time.perf_counter()
        context = Context(self._model.store, self._calibration, self._seed, progress=self._progress, memo=self._memo)
        program = run_pipeline(self._model.program, parse_pipeline(pipeline), context)
        return program, (time.perf_counter() - began) / 60


def _cost(program: Program, stats: Stats) -> Cost | None:
    return cost_of(program, stats) if stats.counts else None


def _read(kept: Mapping[str, Any]) -> Outcome:
    cost = Cost(**kept["cost"]) if kept["cost"] else None
    return Outcome(kept["pipeline"], tuple(kept["losses"]), cost, kept["minutes"])
