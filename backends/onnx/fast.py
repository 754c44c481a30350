"""Fast forms of spike ops: counts and weights in bytes, the integers of attention as floats.

Membranes are summed over planes and in units of the weights, so that read-out multiplies by the threshold alone. A form
that does not fit gives None, and the exact one is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir import FloatWeight, Op, Spikes
from . import rows, values
from .attention import grouped, ungrouped
from .blocks import AS_IT_IS, block_of, blocked
from .body import FLOAT, UINT8, Array, Value
from .emitter import Call, Emitter, Scope
from .integers import digits, zero_points

Made = Sequence[Value] | None


def choose_form(c: Call) -> None:
    """Note how an encoder's counts are held, where all who read them are products of these forms."""
    e, n = c.emitter, c.op.result
    users = e.users[n.name]
    if any(v == n for v in c.program.outputs.values()) or not users:
        return
    if all(op.name == "spike.linear" and fits(e, op) for op in users):
        forms = {by_rows(e, op) for op in users}
        if len(forms) == 1:
            (e.bytes if forms.pop() else e.floats).add(n.name)


def by_rows(e: Emitter, op: Op) -> bool:
    """Whether a product takes bytes: weights of one scale a row, or of groups that are no multiple of a block."""
    of = e.program.weights[op.weights[0]].type
    return rows.one_byte(of) or block_of(of) is None


def fits(e: Emitter, op: Op) -> bool:
    """Whether a spiked product has such a form: weights on a grid, one segment, so one threshold, and nobody outside
    who wants the membranes."""
    of = op.operands[0].type
    assert isinstance(of, Spikes)
    return not isinstance(e.program.weights[op.weights[0]].type, FloatWeight) and of.starts == (0,) and not shown(e, op)


def shown(e: Emitter, op: Op) -> bool:
    """Whether a membrane, or what is left of it after centring, is an output of the program."""
    outputs = {v.name for v in e.program.outputs.values()}
    after = {user.result.name for user in e.users[op.result.name] if user.name == "spike.center"}
    return bool(outputs & {op.result.name, *after})


def scaled(c: Call) -> bool:
    """Whether the membrane that is read has such a form."""
    return c.op.operands[0].name in c.emitter.scaled


def linear(c: Call) -> Made:
    """spike.linear: membranes in units of the weights, summed over planes."""
    if not fits(c.emitter, c.op):
        return None
    c.emitter.scaled.add(c.op.result.name)
    if not by_rows(c.emitter, c.op):
        counts = c.op.operands[0]
        return [blocked(c, c.emitter.values[counts.name], counts.type.shape, AS_IT_IS)]
    x, zeros = planes_of(c)
    return [rows.product(c, x, zeros)]


def planes_of(c: Call) -> tuple[Value, list[int]]:
    """Operand 0 as bytes, planes below each other, with the zero point of each; made once for all who read
    it, if its encoder has not."""
    e, counts = c.emitter, c.op.operands[0]
    of = counts.type
    assert isinstance(of, Spikes)
    low, high = values.span(of)

    zeros = zero_points(low, high)
    if counts.name in e.bytes:
        return c.x(0, "counts"), zeros

    def build(s: Scope) -> Value:
        return s.b.join([x for x, _ in digits(s.b, s.bring(e.values[counts.name], "counts"), low, high)], -2)

    return c.bring(e.shared(("planes", counts.name), "SpikePlanes", build, UINT8, values.stacked(of)), "counts"), zeros


def center(c: Call) -> Made:
    """spike.center of such a membrane: less z·ΣW of each row."""
    if not scaled(c):
        return None
    c.emitter.scaled.add(c.op.result.name)
    w, store = c.weight(), c.emitter.store

    def make() -> Array:
        if not by_rows(c.emitter, c.op):
            return np.asarray(store.floats(w).sum(1, dtype=np.float64), dtype=np.float32)
        codes, scales = rows.integers_of(c)
        return np.asarray(codes.sum(1, dtype=np.float32) * scales)

    sums = c.form(0, "row_sums", FLOAT, (c.of().shape[0],), make)
    return [c.b("Sub", c.x(0, "membrane"), c.b("Mul", c.b.cast(c.x(1, "zero"), FLOAT), sums))]


def read_out(c: Call) -> Made:
    """spike.read_out of such a membrane: times the threshold."""
    if not scaled(c):
        return None
    y = c.b("Mul", c.x(0, "membrane"), c.x(1, "scale"))
    return [c.b("Add", y, c.floats(1, "bias")) if len(c.op.weights) == 2 else y]


def matmul(c: Call) -> Made:
    """spike.matmul of integers held as floats."""
    if shown(c.emitter, c.op):
        return None
    b, of = c.b, c.operand(1)
    heads, shared = (int(c.operand(i).shape[1]) for i in (0, 1))
    assert isinstance(of, Spikes)
    spikes = c.x(1, "counts")
    if c.attr("transpose"):
        spikes = b("Transpose", spikes, perm=[0, 1, 3, 2])
    y = ungrouped(b, b("MatMul", grouped(b, c.x(0, "integers"), heads, shared), spikes), heads, shared)
    c.emitter.scaled.add(c.op.result.name)
    return [y]


def read_matmul(c: Call) -> Made:
    """spike.read_matmul of such a membrane."""
    if not scaled(c):
        return None
    y: Value = c.x(0, "membrane")
    for i in range(1, len(c.op.operands)):
        y = c.b("Mul", y, c.x(i, ("rows", "columns")[i - 1]))
    return [y]
