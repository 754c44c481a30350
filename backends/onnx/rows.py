"""Weights as signed bytes with one scale a row, as MatMulInteger is quickest with.

A grid with one scale a row is held as it is; any other is rounded to such bytes, which a 4-bit grid of small groups
hardly feels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir import GridWeight
from .body import FLOAT, INT8, Array, Body, Value
from .emitter import Call

DOMAIN = "com.microsoft"


def bytes_of(c: Call) -> tuple[Array, Array]:
    """Weight 0 as int8 [out, in] and float32 scales [out]."""
    of, store, w = c.of(), c.emitter.store, c.weight()
    if isinstance(of, GridWeight) and of.groups == 1 and not of.minimum:
        parts = store.get(w)
        return parts["codes"].astype(np.int8), parts["scales"].astype(np.float32)[:, 0]
    values = store.floats(w)
    scales = np.maximum(np.abs(values).max(1) / np.float32(127), np.float32(1e-30))
    return np.round(values / scales[:, None]).astype(np.int8), scales


def product(c: Call, x: Value, zeros: Sequence[int]) -> Value:
    """Bytes of integers, planes below each other, times weight 0, in units of the weights: f32 [..., out]."""
    b, (out, width) = c.b, c.of().shape
    columns = c.form(0, "bytes", INT8, (width, out), lambda: np.ascontiguousarray(bytes_of(c)[0].T))
    scales = c.form(0, "byte_scales", FLOAT, (out,), lambda: bytes_of(c)[1])
    zero = [b.array(np.array(zeros[0], dtype=np.uint8))] if zeros[0] else []
    y = b("MatMulIntegerToFloat", x, columns, b.f32(1.0), scales, *zero, domain=DOMAIN)
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
