"""Softmax and attention of floats; the mask is made once for all layers that see alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .body import BOOL, FLOAT, Array, Body, Value
from .dense import soft_capped
from .emitter import Call, Scope

LEAST = np.finfo(np.float32).min


def alibi_slopes(heads: int) -> Array:
    """BLOOM's slopes, one a head: a geometric series, the missing ones taken between (Press et al., ALiBi)."""
    power = 2 ** int(np.log2(heads))
    base, extra = (2.0 ** -(8.0 / n) for n in (power, 2 * power))
    slopes = [base**i for i in range(1, power + 1)] + [extra**i for i in range(1, 2 * (heads - power), 2)]
    return np.array(slopes, dtype=np.float32)


def seen(s: Scope, mask: Value, causal: bool, window: int) -> Value:
    """Which keys each query sees: bool [B,1,S,P+S], or [B,1,1,P+S] where all see the same."""
    b = s.b
    there = b("Unsqueeze", b.cast(mask, BOOL), b.i64([1, 2]))
    if not causal and not window:
        return there
    keys, queries = places(s, mask)
    if causal:
        there = b("And", there, b("LessOrEqual", keys, queries))
    if window:
        there = b("And", there, b("Greater", keys, b("Sub", queries, b.i64(window))))
        if not causal:
            there = b("And", there, b("Less", keys, b("Add", queries, b.i64(window))))
    return there


def places(s: Scope, mask: Value) -> tuple[Value, Value]:
    """Where keys i64 [P+S] and queries i64 [S,1] stand."""
    b = s.b
    total = b("Shape", mask, start=1, end=2)
    keys = b("Range", b.i64(0), b("Squeeze", total), b.i64(1))
    ids = next(v for v in s.emitter.program.inputs if "S" in v.type.shape)
    axis = ids.type.shape.index("S")
    new = b("Shape", s.bring(s.emitter.values[ids.name], "new"), start=axis, end=axis + 1)
    first = b("Sub", total, new)
    return keys, b("Unsqueeze", b("Slice", keys, first, total), b.i64([1]))


def bias(c: Call, mask_index: int, heads: int) -> Value:
    """What is added to the scores: ALiBi where it is wanted, and the least float where a key is hidden."""
    name = c.op.operands[mask_index].name
    causal, window, alibi = (c.attr(a) for a in ("causal", "window", "alibi"))

    def build(s: Scope) -> Value:
        b, mask = s.b, s.bring(c.emitter.values[name], "mask")
        shown: Value = b.f32(0.0)
        if alibi:
            at = b("Mul", b("Sub", b("CumSum", mask, b.i64(1)), b.i64(1)), mask)
            at = b("Unsqueeze", b.cast(at, FLOAT), b.i64([1, 2]))
            shown = b("Mul", at, b.f32(alibi_slopes(heads)[:, None, None]))
        return b("Where", seen(s, mask, causal, window), shown, b.f32(LEAST))

    key = ("bias", name, causal, window, heads if alibi else 0)
    queries = "S" if causal or window else 1
    axes = ("B", heads if alibi else 1, queries, c.op.operands[mask_index].type.shape[1])
    return c.bring(c.emitter.shared(key, "AttentionMask", build, FLOAT, axes), "mask")


def probabilities(c: Call, scores: Value, mask: Value) -> Value:
    """Softmax of scores [B,H,S,P+S]."""
    if c.attr("softcap"):
        scores = soft_capped(c.b, scores, c.attr("softcap"))
    return c.b("Softmax", c.b("Add", scores, mask), axis=-1)


def softmax(c: Call) -> Sequence[Value]:
    """Probabilities."""
    heads = c.operand(0).shape[1]
    assert isinstance(heads, int)
    return [probabilities(c, c.x(0, "scores"), bias(c, 1, heads))]


def grouped(b: Body, x: Value, heads: int, shared: int) -> Value:
    """[B,H,S,D] as [B,Hkv,H/Hkv·S,D]: queries that meet the same keys side by side."""
    return x if heads == shared else b("Reshape", x, b.i64([0, shared, -1, 0]))


def ungrouped(b: Body, x: Value, heads: int, shared: int) -> Value:
    """The way back."""
    return x if heads == shared else b("Reshape", x, b.i64([0, heads, -1, 0]))


def attend(c: Call) -> Sequence[Value]:
    """Scores, softmax, mixture; heads that share keys are one batch of the product."""
    b, (heads, shared) = c.b, (c.operand(i).shape[1] for i in (0, 1))
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    q, k, v = (c.x(i, "qkv"[i]) for i in range(3))
    scores = b("MatMul", grouped(b, q, heads, shared), b("Transpose", k, perm=[0, 1, 3, 2]))
    scores = ungrouped(b, b("Mul", scores, b.f32(c.attr("scale"))), heads, shared)
    p = grouped(b, probabilities(c, scores, bias(c, 3, heads)), heads, shared)
    return [ungrouped(b, b("MatMul", p, v), heads, shared)]
