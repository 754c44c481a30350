"""Ops that stay float."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .blocks import ROUNDED, block_of, blocked
from .body import FLOAT, Array, Body, Value
from .emitter import Call, Scope


def embed(c: Call) -> Sequence[Value]:
    """Rows of a table."""
    ids = c.x()
    if c.attr("offset"):
        ids = c.b("Add", ids, c.b.i64(c.attr("offset")))
    return [c.b("Gather", c.floats(0, "table"), ids, axis=0)]


def linear(c: Call) -> Sequence[Value]:
    """x·Wᵀ, W stored [in, out]; a table that other ops read too is stored once, and turned here."""
    w, store = c.weight(), c.emitter.store
    if c.emitter.options.fast and block_of(w.type):
        y = blocked(c, c.emitter.values[c.op.operands[0].name], c.operand(0).shape, ROUNDED)
    elif {op.name for op in c.program.weight_users()[w.name]} - {"nn.linear"}:
        y = c.b("MatMul", c.x(), c.b("Transpose", c.floats(0, "table"), perm=[1, 0]))
    else:
        turned = c.form(0, "transposed", FLOAT, w.type.shape[::-1], lambda: np.ascontiguousarray(store.floats(w).T))
        y = c.b("MatMul", c.x(), turned)
    return [c.b("Add", y, c.floats(1, "bias")) if len(c.op.weights) == 2 else y]


def rms_norm(c: Call) -> Sequence[Value]:
    """By the standard operator; an offset goes into the gain."""
    width, offset = c.operand(0).shape[-1], np.float32(c.attr("gain_offset"))
    assert isinstance(width, int)
    if not c.op.weights:
        gain = c.b.f32(np.ones(width))
    elif offset:
        w, store = c.weight(), c.emitter.store
        gain = c.form(0, f"plus.{offset}", FLOAT, w.type.shape, lambda: store.floats(w) + offset)
    else:
        gain = c.floats(0, "gain")
    return [c.b("RMSNormalization", c.x(), gain, axis=-1, epsilon=c.attr("eps"))]


def layer_norm(c: Call) -> Sequence[Value]:
    """By the standard operator; gains of each head are multiplied after it."""
    width = c.operand(0).shape[-1]
    assert isinstance(width, int)
    plain = all(len(c.of(i).shape) == 1 for i in range(len(c.op.weights)))
    given = [c.floats(i, ("gain", "bias")[i]) for i in range(len(c.op.weights))]
    if plain and given:
        return [c.b("LayerNormalization", c.x(), *given, axis=-1, epsilon=c.attr("eps"))]
    y = c.b("LayerNormalization", c.x(), c.b.f32(np.ones(width)), axis=-1, epsilon=c.attr("eps"))
    for i, kind in enumerate(("Mul", "Add")[: len(given)]):
        heads = c.b("Unsqueeze", given[i], c.b.i64([1])) if len(c.of(i).shape) == 2 else given[i]
        y = c.b(kind, y, heads)
    return [y]


def pairwise(c: Call) -> Sequence[Value]:
    """Sum or product."""
    return [c.b({"nn.add": "Add", "nn.mul": "Mul"}[c.op.name], c.x(0), c.x(1))]


def scale(c: Call) -> Sequence[Value]:
    """Times a constant."""
    return [c.b("Mul", c.x(), c.b.f32(c.attr("by")))]


def bias(c: Call) -> Sequence[Value]:
    """Plus a vector."""
    return [c.b("Add", c.x(), c.floats(0, "bias"))]


def activation(c: Call) -> Sequence[Value]:
    """A function of each element."""
    b, x, kind = c.b, c.x(), c.attr("kind")
    if kind in ("gelu", "gelu_tanh"):
        return [b("Gelu", x, approximate="tanh" if kind == "gelu_tanh" else "none")]
    if kind in ("silu", "quick_gelu", "sigmoid"):
        steep = x if kind != "quick_gelu" else b("Mul", x, b.f32(1.702))
        if c.emitter.options.fast:
            y = b("Sigmoid", steep)
            return [y if kind == "sigmoid" else b("Mul", x, y)]
        # onnxruntime's Sigmoid is 0 below -18, where an encoder still sees what a silent token has.
        below = b("Add", b("Exp", b("Neg", steep)), b.f32(1.0))
        return [b("Div", b.f32(1.0) if kind == "sigmoid" else x, below)]
    if kind == "relu2":
        y = b("Relu", x)
        return [b("Mul", y, y)]
    return [b({"relu": "Relu", "tanh": "Tanh"}[kind], x)]


def soft_capped(b: Body, x: Value, cap: float) -> Value:
    """cap · tanh(x / cap)."""
    return b("Mul", b("Tanh", b("Div", x, b.f32(cap))), b.f32(cap))


def softcap(c: Call) -> Sequence[Value]:
    """Bounded smoothly."""
    return [soft_capped(c.b, c.x(), c.attr("cap"))]


def rope(c: Call) -> Sequence[Value]:
    """Rotary positions by the standard operator; sines and cosines are found once for all that share them."""
    e, w, scaling = c.emitter, c.weight(), c.attr("scaling")
    positions, frequencies = c.op.operands[1], c.floats(0, "frequencies")
    axes = (*positions.type.shape, w.type.shape[0])

    def table(kind: str) -> Value:
        def build(s: Scope) -> Value:
            b = s.b
            at = b.cast(s.bring(e.values[positions.name], "positions"), FLOAT)
            angle = b("Mul", b("Unsqueeze", at, b.i64([2])), s.bring(frequencies, "frequencies"))
            return b("Mul", b(kind, angle), b.f32(scaling)) if scaling != 1.0 else b(kind, angle)

        key = (kind, positions.name, w.name, scaling)
        return e.shared(key, {"Cos": "RotaryCosines", "Sin": "RotarySines"}[kind], build, FLOAT, axes)

    inner = int(c.attr("layout") == "interleaved")
    return [c.b("RotaryEmbedding", c.x(), table("Cos"), table("Sin"), interleaved=inner)]


def hadamard(size: int) -> Array:
    """A normalised Hadamard matrix."""
    made = np.ones((1, 1))
    while len(made) < size:
        made = np.block([[made, made], [made, -made]])
    return (made / math.sqrt(size)).astype(np.float32)
