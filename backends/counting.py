"""What spikes cost, worked out from counts: the rules that every backend's stats obey.

A runner that executes event by event counts where the events happen; one that works on counts uses these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir import Membrane, Op, Program, Segment, Spikes, Train
from ..ir.types import planes
from .interface import SpikeCount

Array = NDArray[Any]

_MANY = 1 << 16  # distinct counts beyond which a table of them would be larger than what it saves

# The products that spikes drive, and which operand the spikes are.
DRIVEN: dict[str, int] = {
    "spike.linear": 0,
    "spike.matmul": 1,
    "lif.linear": 0,
    "lif.coincide": 0,
    "lif.gather": 0,
}


def code_text(of: Spikes | Train) -> str:
    """The codes of a spiked operand, as its type shows them."""
    if isinstance(of, Train):
        return f"train{{T={of.steps}}}"
    return str(of.code) if len(of.segments) == 1 else ", ".join(map(str, of.segments))


def spiked_operand(op: Op) -> Spikes | Train:
    """The type of the operand whose spikes drive the op."""
    of = op.operands[DRIVEN[op.name]].type
    assert isinstance(of, Spikes | Train)
    return of


def blank_counts(program: Program) -> dict[str, SpikeCount]:
    """A count of nothing for each spiked product, by result name, in program order."""
    return {
        op.result.name: SpikeCount(
            op.result.name, op.loc.module, code_text(of := spiked_operand(op)), steps=(0,) * of.steps
        )
        for op in program.ops
        if op.name in DRIVEN
    }


def segment_count(segment: Segment, n: Array, fan_out: int, targets: int) -> SpikeCount:
    """Counts n [..., channels] of one segment, each spike adding to `fan_out` outputs of a membrane of `targets` cells.

    Equal counts have equal trains, so one train for each distinct count tells all.
    """
    values, times = _distinct(n)
    by_step = np.abs(segment.code.encode(values).astype(np.int64)) @ times
    per_cell = sum(segment.code.doublings) + sum(segment.code.ramps)
    spikes = int(by_step.sum())
    return SpikeCount(
        "", "", "", n.size, spikes, int(np.count_nonzero(n)), spikes * fan_out,
        updates=targets * per_cell, steps=tuple(by_step.tolist()),
    )  # fmt: skip


def _distinct(n: Array) -> tuple[Array, Array]:
    """The distinct counts and how often each is there."""
    low, high = int(n.min(initial=0)), int(n.max(initial=0))
    if high - low > _MANY:
        return np.unique(n, return_counts=True)
    times = np.bincount((n - low).ravel(), minlength=1)
    (seen,) = times.nonzero()
    return seen + low, times[seen]


def total(first: SpikeCount, *others: SpikeCount) -> SpikeCount:
    """Sum of counts, under the first one's name; trains of fewer steps are silent in the rest."""
    steps = np.zeros(max(len(c.steps) for c in (first, *others)), dtype=np.int64)
    for c in (first, *others):
        steps[: len(c.steps)] += c.steps
    names = ("values", "spikes", "nonzero", "additions", "macs", "updates")
    sums = {name: sum(getattr(c, name) for c in (first, *others)) for name in names}
    return replace(first, **sums, steps=tuple(steps.tolist()))


def _linear(program: Program, op: Op, operands: tuple[Array, ...]) -> SpikeCount:
    n, of, out = operands[0], spiked_operand(op), op.result.type
    assert isinstance(of, Spikes)
    assert isinstance(out, Membrane)
    assert isinstance(out.shape[-1], int)
    cells = planes(of.starts, program.weights[op.weights[0]].type)
    fan_out, tokens = out.shape[-1], n.size // n.shape[-1]
    found = [
        segment_count(
            s,
            n[..., s.start : s.stop],
            fan_out,
            tokens * fan_out * sum(p.segment == i for p in cells),
        )
        for i, s in enumerate(of.segments)
    ]
    return replace(total(*found), macs=n.size * fan_out)


def _matmul(program: Program, op: Op, operands: tuple[Array, ...]) -> SpikeCount:
    a, n = operands
    of = spiked_operand(op)
    assert isinstance(of, Spikes)
    outer = n.shape[2] if op.attrs["transpose"] else n.shape[3]
    rows = a.shape[2] * (a.shape[1] // n.shape[1])
    counted = segment_count(of.segments[0], n, rows, a.size // a.shape[3] * outer)
    return replace(counted, macs=a.size * outer)


def _train(fan_out: Callable[[Program, Op, tuple[Array, ...]], int]) -> Rule:
    def rule(program: Program, op: Op, operands: tuple[Array, ...]) -> SpikeCount:
        train = operands[0].astype(np.int64)
        each = fan_out(program, op, operands)
        spikes, values = int(train.sum()), train[0].size
        steps = tuple(train.reshape(len(train), -1).sum(1).tolist())
        fired = int(train.any(axis=0).sum())
        return SpikeCount("", "", "", values, spikes, fired, spikes * each, values * each, steps=steps)

    return rule


Rule = Callable[[Program, Op, tuple[Array, ...]], SpikeCount]
RULES: dict[str, Rule] = {
    "spike.linear": _linear,
    "spike.matmul": _matmul,
    "lif.linear": _train(lambda program, op, _: program.weights[op.weights[0]].type.shape[0]),
    "lif.coincide": _train(lambda _, op, operands: int(operands[1].shape[3])),
    "lif.gather": _train(lambda _, op, operands: int(operands[1].shape[4])),
}


def count_op(program: Program, op: Op, operands: tuple[Array, ...]) -> SpikeCount:
    """What one execution of a spiked product costs, nameless; operands as numpy arrays."""
    return RULES[op.name](program, op, operands)
