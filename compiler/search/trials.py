"""Trials: pipelines compiled and scored on one text, each once; what came out is kept in a folder."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.interface import Stats
from ...backends.reference import ReferenceRunner
from ...ir import Program, Store, print_program
from ...passes import Context, Pass, run_pipeline
from ..compile import Prepared
from ..evaluation.perplexity import losses
from ..evaluation.results import write
from ..memory import forget_peak, peak_mb
from ..recipes import parse_pipeline
from .cost import Cost, cost_of

Tokens = NDArray[np.int64]
Progress = Callable[[int, int, str], None]
FORMAT = 3
_ENCODING = "insert-encoders"
_KEPT = 3  # programs without spikes kept in memory


@dataclass(frozen=True)
class _Made:
    """What passes made of a program, the processor time they took, and the most memory held."""

    program: Program
    store: Store
    minutes: float
    peak_mb: float


@dataclass(frozen=True)
class Outcome:
    """A pipeline's figures on the text: `losses` in nats a token, one a window; cost is None for no pipeline (the
    source). `minutes` are processor time of the passes, with those an earlier trial had run for it; `peak_mb` is the
    most memory the process held while they ran, MiB."""

    pipeline: str
    losses: tuple[float, ...]
    cost: Cost | None
    minutes: float
    peak_mb: float

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
        self.windows, self._seed, self._progress = windows, seed, progress
        self._program = hashlib.sha256(print_program(self._model.program).encode())
        self._starts: dict[str, _Made] = {}

    def source(self) -> Outcome:
        """The model as it is."""
        return self.outcome("")

    def outcome(self, pipeline: str, windows: Tokens | None = None) -> Outcome:
        """Compile and score, or read what did so before; on windows i64 [M, L] in place of the trials' where given.
        Raises what parsing and running a pipeline raise.
        """
        passes, windows = parse_pipeline(pipeline), self.windows if windows is None else windows
        path = self.folder / f"{hashlib.sha256(f'{self._key(windows)} {passes!r}'.encode()).hexdigest()[:16]}.json"
        if path.exists():
            return _read(json.loads(path.read_text(encoding="utf-8")))
        made = self._made(passes)
        runner = ReferenceRunner(made.program, made.store)
        scored = losses(runner, windows, self._progress)
        length = windows.shape[1] - 1
        cost = _cost(made.program, runner.stats())
        found = Outcome(pipeline, tuple(s / length for s in scored), cost, made.minutes, made.peak_mb)
        write(path, asdict(found))
        return found

    def _key(self, windows: Tokens) -> str:
        """A hash of all that an outcome depends on but its passes."""
        told = self._program.copy()
        for tokens in (self._calibration, windows):
            told.update(repr(tokens.shape).encode() + np.ascontiguousarray(tokens, dtype="<i8").tobytes())
        told.update(f"{self._seed} {FORMAT}".encode())
        return told.hexdigest()

    def compiled(self, pipeline: str) -> tuple[Program, Store]:
        """The program that a pipeline makes, and its weights. What happens before encoders is kept for the next."""
        made = self._made(parse_pipeline(pipeline))
        return made.program, made.store

    def _made(self, passes: Sequence[Pass]) -> _Made:
        names = [p.name for p in passes]
        cut = names.index(_ENCODING) if _ENCODING in names else len(passes)
        return self._run(self._started(passes[:cut]), passes[cut:])

    def _started(self, passes: Sequence[Pass]) -> _Made:
        """The program without spikes that passes make. GPTQ takes minutes, and many pipelines begin alike."""
        key = repr(passes)
        if key not in self._starts:
            if len(self._starts) == _KEPT:
                del self._starts[next(iter(self._starts))]
            start = _Made(self._model.program, self._model.store, 0.0, 0.0)
            self._starts[key] = self._run(start, passes)
        return self._starts[key]

    def _run(self, start: _Made, passes: Sequence[Pass]) -> _Made:
        own = start.store.copy()
        keep = self.folder / "parts"
        context = Context(own, self._calibration, self._seed, progress=self._progress, memo=self._memo, keep=keep)
        forget_peak()
        began = time.process_time()
        program = run_pipeline(start.program, passes, context)
        minutes = start.minutes + (time.process_time() - began) / 60
        return _Made(program, own, minutes, max(start.peak_mb, peak_mb()))


def _cost(program: Program, stats: Stats) -> Cost | None:
    return cost_of(program, stats) if stats.counts else None


def _read(kept: Mapping[str, Any]) -> Outcome:
    cost = Cost(**kept["cost"]) if kept["cost"] else None
    return Outcome(kept["pipeline"], tuple(kept["losses"]), cost, kept["minutes"], kept["peak_mb"])
