"""What each module of a compiled model did on one text: its error against the source, and its spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from ..backends.counting import DRIVEN, blank_counts, count_op, total
from ..backends.interface import SpikeCount
from ..ir import Op, Program, Spikes, Store
from ..ir.interpreter import Interpreter
from ..passes import Context, run_pipeline
from .artifact import Artifact
from .errors import InputError
from .journal import read_journal
from .journal.points import Gap, Key, Points, Side, gaps
from .recipes import parse_pipeline
from .spikes import firing

T = torch.Tensor


@dataclass(frozen=True, slots=True)
class Line:
    """One module. error, input_error and their growth are of this text where there is a source to run beside (see
    journal.points.Gap), else of the sample that was measured when the model was compiled; first_token is the first
    (from 0) with an error beyond the tolerance, None where none is, or no source is there."""

    module: str
    what: str
    error: float | None
    input_error: float | None
    first_token: int | None
    spikes_per_activation: float | None = None
    firing_rate: float | None = None
    spikes: int | None = None
    compiled_spikes_per_activation: float | None = None
    """The same on the text that was measured when the model was compiled."""

    @property
    def growth(self) -> float | None:
        """What it added to its input's error."""
        return None if self.error is None else self.error - (self.input_error or 0.0)


@dataclass(frozen=True)
class Trace:
    """All modules in program order. first_module is the first whose error is beyond the tolerance; first_choice the
    first position (from 0) after which source and spike program hold different tokens likeliest."""

    ids: Sequence[int]
    tokens: Sequence[str]
    against: str
    """`source` or `stored`: whose errors these are."""
    tolerance: float
    lines: Sequence[Line]
    first_module: str | None
    first_choice: int | None
    spikes_by_token: Sequence[int]
    """Spikes that linear layers read at each position."""

    def only(self, layer: str) -> list[Line]:
        """The lines of a layer's number, or of modules whose path holds this."""
        if layer.isdigit():
            return [line for line in self.lines if layer in line.module.split(".")]
        return [line for line in self.lines if layer in line.module]

    def as_json(self, layer: str = "") -> dict[str, Any]:
        """The whole, or of some modules, as JSON-like values."""
        return {**asdict(self), "lines": [{**asdict(line), "growth": line.growth} for line in self.only(layer)]}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run showed."""

    outputs: Mapping[str, T]
    points: Mapping[Key, tuple[T | None, T]]
    spiking: Mapping[Key, SpikeCount]
    """What drove each product, by the place where its spikes are told."""
    keys: Sequence[Key]
    """Points and products in the order in which they ran."""
    by_token: Sequence[int]


def run(program: Program, store: Store, ids: T) -> Seen:
    """Run one sequence i64 [1, S]."""
    side, blank = Side(ids.shape[1]), blank_counts(program)
    points = Points(side.add)
    spiking: dict[Key, SpikeCount] = {}
    keys: dict[Key, None] = {}
    by_token = torch.zeros(ids.shape[1], dtype=torch.int64)

    def watch(op: Op, operands: tuple[T, ...], results: tuple[T, ...]) -> None:
        before = len(spiking) + len(side.points)
        if op.name in DRIVEN:
            known = total(blank[op.result.name], count_op(program, op, tuple(o.numpy() for o in operands)))
            spiking[_place(op, spiking)] = known
        if op.name == "spike.linear":
            by_token.add_(_spikes(op, operands[0]))
        points.watch(op, operands, results)
        if len(spiking) + len(side.points) > before:
            keys.update(dict.fromkeys([*list(spiking)[-1:], *list(side.points)[-1:]]))

    outputs = Interpreter(program, store).run({"ids": ids}, watch=watch)
    return Seen(outputs, side.points, spiking, list(keys), by_token.tolist())


def _place(op: Op, taken: Mapping[Key, SpikeCount]) -> Key:
    """Where a product's spikes are told: with its module's output; attention's by themselves."""
    what = "product" if op.name == "spike.matmul" else "output"
    number = sum(module == op.loc.module and of.startswith(what) for module, of in taken) + 1
    return op.loc.module, f"{what} {number}" if what == "product" or number > 1 else what


def _spikes(op: Op, n: T) -> T:
    """Spikes of each position: i64 [S] of counts [1, S, d]."""
    found = torch.zeros(n.shape[1], dtype=torch.int64)
    of = op.operands[0].type
    assert isinstance(of, Spikes)
    for s in of.segments:
        found += torch.from_numpy(s.code.spikes(n[0, :, s.start : s.stop].numpy()).sum(1))
    return found


def twin(program: Program, store: Store, artifact: Artifact) -> Program:
    """A source program in the compiled one's basis: after the exact passes that its pipeline begins with."""
    names = [*artifact.manifest.get("earlier", ()), *artifact.manifest["pipeline"]]
    exact = list(takewhile(lambda p: p.exact, parse_pipeline(",".join(names))))
    return run_pipeline(program, exact, Context(store, seed=artifact.manifest.get("seed", 0)))


def trace(
    artifact: Artifact, ids: Sequence[int], source: tuple[Program, Store] | None = None, tolerance: float = 0.1
) -> Trace:
    """Run a text through a compiled model and, where it is given, through its source (before any pass).

    Raises InputError for a source that has nothing in common with it.
    """
    tokens = torch.tensor([list(ids)], dtype=torch.int64)
    seen = run(artifact.program, artifact.store, tokens)
    beside: Seen | None = None
    found: list[Gap] = []
    if source is not None:
        beside = run(twin(*source, artifact), source[1], tokens)
        found = gaps(beside.points, seen.points)
        if not found:
            raise InputError(
                f"--source: no module of it has its like in {artifact.folder}; give the model that it is from"
            )
    else:
        stored = read_journal(artifact.folder).get("gap", [])
        found = [Gap(g["module"], g["what"], g["error"], g["input_error"], ()) for g in stored]
    lines = _lines(artifact, seen, found, tolerance)
    tokenizer = artifact.tokenizer()
    return Trace(
        list(ids),
        [str(i) if tokenizer is None else tokenizer.decode([i]) for i in ids],
        "source" if source is not None else "stored",
        tolerance,
        lines,
        next((g.module for g in found if g.error > tolerance), None),
        None if beside is None else _first_choice(beside.outputs, seen.outputs),
        seen.by_token,
    )


def _lines(artifact: Artifact, seen: Seen, found: Sequence[Gap], tolerance: float) -> list[Line]:
    """Modules in program order; a product's spikes stand with its module's output, attention's by themselves."""
    program = artifact.program
    driven = [op.result.name for op in program.ops if op.name in DRIVEN]
    before = dict(zip(driven, artifact.metrics.get("layers", []), strict=False))
    spiking: dict[Key, dict[str, Any]] = {}
    for key, count in seen.spiking.items():
        one, old = firing(program, [count]), before.get(count.op)
        spiking[key] = {
            "spikes_per_activation": one.spikes_per_activation,
            "firing_rate": one.firing_rate,
            "spikes": count.spikes,
            "compiled_spikes_per_activation": old["spikes_per_activation"] if old else None,
        }
    errors = {(g.module, g.what): g for g in found}
    chosen = [key for key in seen.keys if key in errors or key in spiking]
    return [_line(key, errors.get(key), spiking.get(key, {}), tolerance) for key in chosen]


def _line(key: Key, gap: Gap | None, spikes: Mapping[str, Any], tolerance: float) -> Line:
    first = next((i for i, e in enumerate(gap.tokens) if e > tolerance), None) if gap else None
    return Line(*key, gap.error if gap else None, gap.input_error if gap else None, first, **spikes)


def _first_choice(source: Mapping[str, T], ours: Mapping[str, T]) -> int | None:
    if "logits" not in source:
        return None
    differ = (source["logits"][0].argmax(-1) != ours["logits"][0].argmax(-1)).nonzero()
    return int(differ[0]) if len(differ) else None


def place_of(artifact: Artifact) -> Path:
    """Where a trace is kept for the report: in results/, outside what the manifest signs."""
    return artifact.folder / "results" / "trace" / "trace.json"
