"""Spike trains: the time steps of counts, and the membrane that they drive, by additions and doublings."""

from __future__ import annotations

import numpy as np
import onnx_ir as onnx

from ...ir import Code, IRError, Spikes
from .body import INT8, INT16, INT32, Array, Body, Value
from .emitter import Call, Scope

# Entries of a table from counts to trains beyond which a program is refused.
MOST = 1 << 22


def kind(code: Code) -> onnx.DataType:
    """The dtype of a train."""
    return INT8 if code.level < 128 else INT16


def span(code: Code) -> tuple[int, int]:
    """Least and largest value of a step."""
    return (-code.level if code.lo < 0 else 0), code.level


def table(code: Code) -> Array:
    """The train of every count of the code, [T, counts]."""
    return code.encode(np.arange(code.lo, code.hi + 1)).astype(kind(code).numpy())


def check(of: Spikes, where: str) -> None:
    """Raises IRError for a code whose trains are too many to write down."""
    for s in of.segments:
        if (size := s.code.steps * (s.code.hi - s.code.lo + 1)) > MOST:
            raise IRError(f"{where}: trains of {s.code} make a table of {size} entries; steps=folded has none")


def of(c: Call, operand: int, segment: int) -> Value:
    """The train [T, ..., channels] of one segment of a spiked operand, made once for all who read it."""
    value = c.op.operands[operand]
    spikes = value.type
    assert isinstance(spikes, Spikes)
    s, whole = spikes.segments[segment], len(spikes.segments) == 1
    check(spikes, f"{c.op.name} at {c.op.loc.module or '<no module>'}")

    def build(scope: Scope) -> Value:
        b, n = scope.b, scope.bring(c.emitter.values[value.name], "counts")
        if not whole:
            n = b.part(n, -1, s.start, s.stop)
        code, levels = s.code, table(s.code)
        trains = scope.constant(f"trains.{code}", kind(code), levels.shape, lambda: levels, "trains")
        at = b("Sub", b.cast(n, INT32), b.i32(code.lo)) if code.lo else b.cast(n, INT32)
        return b("Gather", trains, at, axis=1)

    axes = (s.code.steps, *(spikes.shape if whole else (*spikes.shape[:-1], s.stop - s.start)))
    return c.emitter.shared(("train", value.name, segment), "SpikeTrain", build, kind(s.code), axes)


def integrate(b: Body, steps: Value, code: Code) -> Value:
    """What the sums of each step [T, ...] make of a membrane: additions and doublings; in a ramp through a slope."""
    membrane: Value | None = None
    slope: Value | None = None
    for step, doublings, ramp in zip(b.steps(steps, code.steps), code.doublings, code.ramps, strict=True):
        for _ in range(doublings if membrane is not None else 0):
            assert membrane is not None
            membrane = b("Add", membrane, membrane)
        if doublings:
            slope = None
        if ramp:
            step = slope = step if slope is None else b("Add", slope, step)
        membrane = step if membrane is None else b("Add", membrane, step)
    assert membrane is not None
    return membrane
