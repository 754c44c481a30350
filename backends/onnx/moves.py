"""Ops that move data, and state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir import Current, Train
from ...ir.ops.dense import front_order
from ...ir.types import Shape
from .body import FLOAT, Body, Value
from .dense import hadamard
from .emitter import Call


def reshaped(b: Body, x: Value, have: Shape, want: Shape) -> Value:
    """x of shape `have` as `want`; symbols stay whole axes, each of which is in both."""
    sizes = [d if isinstance(d, int) else 0 if d == (*have, *want)[i] else -1 for i, d in enumerate(want)]
    if sizes.count(-1) <= 1:
        return b("Reshape", x, b.i64(sizes))
    parts = [
        b.i64([d]) if isinstance(d, int) else b("Shape", x, start=have.index(d), end=have.index(d) + 1) for d in want
    ]
    return b("Reshape", x, b("Concat", *parts, axis=0))


def reshape(c: Call) -> Sequence[Value]:
    """In another shape."""
    return [reshaped(c.b, c.x(), c.operand(0).shape, c.attr("shape"))]


def lif_reshape(c: Call) -> Sequence[Value]:
    """In another shape, then permuted, the time steps staying first."""
    of = c.operand(0)
    assert isinstance(of, Train | Current)
    y = reshaped(c.b, c.x(), (of.steps, *of.shape), (of.steps, *c.attr("shape")))
    axes = [0, *(a + 1 for a in c.attr("axes"))]
    return [c.b("Transpose", y, perm=axes) if len(axes) > 1 else y]


def permute(c: Call) -> Sequence[Value]:
    """Axes in another order."""
    return [c.b("Transpose", c.x(), perm=list(c.attr("axes")))]


def slice_(c: Call) -> Sequence[Value]:
    """Part of an axis."""
    return [c.b.part(c.x(), c.attr("axis"), c.attr("start"), c.attr("stop"))]


def concat(c: Call) -> Sequence[Value]:
    """One after the other."""
    return [c.b("Concat", *(c.x(i) for i in range(len(c.op.operands))), axis=c.attr("axis"))]


def repeat(c: Call) -> Sequence[Value]:
    """Each element several times in a row."""
    axis = c.attr("axis") % len(c.operand(0).shape)
    size = c.operand(0).shape[axis]
    assert isinstance(size, int)
    return [c.b("Gather", c.x(), c.b.i64(np.repeat(np.arange(size), c.attr("times"))), axis=axis)]


def set_apart(c: Call) -> Sequence[Value]:
    """Channels in another order."""
    width = c.operand(0).shape[-1]
    assert isinstance(width, int)
    return [c.b("Gather", c.x(), c.b.i64(front_order(c.attr("channels"), width, c.attr("back"))), axis=-1)]


def rotate(c: Call) -> Sequence[Value]:
    """By a Hadamard matrix of each block of channels, then by a small one across blocks."""
    b, x, size = c.b, c.x(), c.attr("hadamard")
    width = c.operand(0).shape[-1]
    assert isinstance(width, int)
    blocks = b.with_tail(x, x, 1, (width // size, size))
    turned = c.constant(f"hadamard.{size}", FLOAT, (size, size), lambda: hadamard(size), "hadamard")
    y = b("MatMul", blocks, turned)
    if c.op.weights:
        y = b("MatMul", b("Transpose", c.floats(0, "factor"), perm=[1, 0]), y)
    return [b("Reshape", y, b("Shape", x))]


def append(c: Call) -> Sequence[Value]:
    """A state's past, then what is new."""
    assert c.op.state is not None
    axis = c.attr("axis") + isinstance(c.operand(0), Train | Current)
    return [c.b("Concat", c.emitter.past(c.op.state), c.x(), axis=axis)]
