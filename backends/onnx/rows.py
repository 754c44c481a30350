"""Weights as signed bytes with one scale a row, as MatMulIntegerToFloat is quickest with.

A grid of at most 8 bits with one scale a row is held as it is, in one byte. Any other is rounded to 1/8127 of a row's
largest weight and held in two digits of base 128, side by side: bytes of one digit alone cost perplexity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir import GridWeight, WeightType
from .body import FLOAT, INT8, Array, Body, Value
from .emitter import Call
from .integers import weight_digits

DOMAIN = "com.microsoft"
# The largest number of two digits of base 128 on either side of zero, 63 in front.
TOP = 63 * 128 + 63


def one_byte(of: WeightType) -> bool:
    """Whether a weight is held in one byte."""
    return isinstance(of, GridWeight) and of.groups == 1 and not of.minimum


def integers_of(c: Call) -> tuple[Array, Array]:
    """Weight 0 as integers [out, in] and float32 scales [out]."""
    store, w = c.emitter.store, c.weight()
    if one_byte(c.of()):
        parts = store.get(w)
        return parts["codes"].astype(np.int32), parts["scales"].astype(np.float32)[:, 0]
    values = store.floats(w)
    scales = np.maximum(np.abs(values).max(1) / np.float32(TOP), np.float32(1e-30))
    return np.round(values / scales[:, None]).astype(np.int32), scales


def product(c: Call, x: Value, zeros: Sequence[int]) -> Value:
    """Bytes of integers, planes below each other, times weight 0, in units of the weights: f32 [..., out]."""
    b, (out, width), count = c.b, c.of().shape, 1 if one_byte(c.of()) else 2

    def columns() -> Array:
        codes = np.ascontiguousarray(integers_of(c)[0].T)
        return codes.astype(np.int8) if count == 1 else weight_digits(codes, count)

    def units() -> Array:
        scales = integers_of(c)[1]
        return np.concatenate([scales * np.float32(128**k) for k in range(count)])

    codes = c.form(0, "bytes", INT8, (width, count * out), columns)
    scales = c.form(0, "byte_scales", FLOAT, (count * out,), units)
    zero = [b.array(np.array(zeros[0], dtype=np.uint8))] if zeros[0] else []
    y = b("MatMulIntegerToFloat", x, codes, b.f32(1.0), scales, *zero, domain=DOMAIN)
    if count > 1:
        y = b("Add", *b.many("Split", y, outputs=count, axis=-1, num_outputs=count))
    return stacked(b, y, len(zeros))


def stacked(b: Body, y: Value, count: int) -> Value:
    """Planes below each other as one sum."""
    if count == 1:
        return y
    parts: Sequence[Value] = b.many("Split", y, outputs=count, axis=-2, num_outputs=count)
    total = parts[0]
    for k, part in enumerate(parts[1:], start=1):
        total = b("Add", total, b("Mul", part, b.f32(256.0**k)))
    return total
