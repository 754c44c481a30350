"""Products of integers by MatMulInteger, exact on every processor.

Integers beyond a byte are split into digits. Weights have digits of base 128, -64 … 63: pairs of products with bytes
then fit the 16 bits in which processors without VNNI add them up. Counts have digits of base 256 around a zero point.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .body import INT32, UINT8, Array, Body, Value

Digits = Sequence[tuple[Value, int]]


def digits(b: Body, x: Value, low: int, high: int) -> Digits:
    """Integers low … high as bytes, least significant first, each with its zero point: x = Σ 256^k·(byte - zero)."""
    if low >= 0 and high <= 255:
        return [(b.cast(x, UINT8), 0)]
    x = b.cast(x, INT32)
    made: list[tuple[Value, int]] = []
    while True:
        up = b("Add", x, b.i32(128))
        if low >= -128 and high <= 127:
            return [*made, (b.cast(up, UINT8), 128)]
        byte = b("BitwiseAnd", up, b.i32(255))
        made.append((b.cast(byte, UINT8), 128))
        x = b("Div", b("Sub", up, byte), b.i32(256))
        low, high = (low + 128) >> 8, (high + 128) >> 8


def zero_points(low: int, high: int) -> list[int]:
    """The zero point of each byte that integers low … high take."""
    if low >= 0 and high <= 255:
        return [0]
    count = 1
    while low < -128 or high > 127:
        low, high, count = (low + 128) >> 8, (high + 128) >> 8, count + 1
    return [128] * count


def from_bytes(x: Array, low: int, high: int) -> Array:
    """Integers of bytes [..., planes·n, in] that stand below each other, int32 [..., n, in]."""
    zeros = zero_points(low, high)
    parts = np.split(x.astype(np.int32), len(zeros), axis=-2)
    return np.asarray(sum((part - zero) * 256**k for k, (part, zero) in enumerate(zip(parts, zeros, strict=True))))


def weight_digits(w: Array, count: int) -> Array:
    """Digits of base 128 of an integer array as int8, one after the other along the last axis, least significant
    first."""
    w, made = w.astype(np.int32), []
    for _ in range(count):
        low = ((w + 64) & 127) - 64
        made.append(low.astype(np.int8))
        w = (w - low) >> 7
    assert not w.any()
    return np.concatenate(made, axis=-1)


def digits_needed(low: int, high: int) -> int:
    """How many digits of base 128 the integers low … high take."""
    count = 1
    while low < -64 or high > 63:
        low, high, count = (low + 64) >> 7, (high + 64) >> 7, count + 1
    return count


def product(b: Body, left: Digits, right: Digits) -> Value:
    """Matrix product, int32, of integers as digits of base 256. What leaves 32 bits wraps around."""
    total: Value | None = None
    for i, (x, zero) in enumerate(left):
        for j, (y, other) in enumerate(right):
            if i + j < 4:
                part = meet(b, x, zero, y, other)
                part = part if i + j == 0 else b("Mul", part, b.i32(256 ** (i + j)))
                total = part if total is None else b("Add", total, part)
    assert total is not None
    return total


def weighted(b: Body, left: Digits, weights: Value, count: int) -> Value:
    """The same with weights of `count` digits side by side, read once: digits of the left stand below each other."""
    both = meet(b, b.join([x for x, _ in left], -2), left[0][1], weights, 0)
    by_weight = b.many("Split", both, outputs=count, axis=-1, num_outputs=count) if count > 1 else [both]
    total = added(b, by_weight, 128)
    rows = b.many("Split", total, outputs=len(left), axis=-2, num_outputs=len(left)) if len(left) > 1 else [total]
    return added(b, rows, 256)


def added(b: Body, parts: Sequence[Value], base: int) -> Value:
    """Σ base^k · parts[k]."""
    total = parts[0]
    for k, part in enumerate(parts[1:], start=1):
        total = b("Add", total, b("Mul", part, b.i32(base**k)))
    return total


def meet(b: Body, x: Value, zero: int, y: Value, other: int) -> Value:
    """MatMulInteger of bytes with zero points."""
    zeros = [b.array(np.array(z, dtype=np.uint8)) if z else None for z in (zero, other)]
    while zeros and zeros[-1] is None:
        zeros.pop()
    return b("MatMulInteger", x, y, *zeros)
