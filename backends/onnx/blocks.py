"""Weights in blocks, as onnxruntime's MatMulNBits takes them.

The codes are those of the program, with one float scale a block. What a block has besides a scale (a minimum, an
offset) is added by the sums of counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir import FloatWeight, GridWeight, RowWeight, WeightType
from ...ir.store import Parts
from ...ir.types import Shape
from .body import FLOAT, UINT8, Array, Value
from .emitter import Call, Scope

DOMAIN = "com.microsoft"
BLOCKS = (256, 128, 64, 32, 16)
# What onnxruntime may round its input to: 8-bit integers, block by block, or nothing.
ROUNDED, AS_IT_IS = 4, 0
# Block of float matrices, which are rounded to 8 bits.
FLOAT_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix [out, in] in blocks along its inputs: unsigned codes, a scale each, and what is added to every weight of
    a block (None: nothing). w = scale·(code - 2^(bits-1)) + offset."""

    codes: Array
    scales: Array
    offsets: Array | None


def block_of(of: WeightType) -> tuple[int, int] | None:
    """Bits and block size in which a weight can be held; None if its groups are no multiple of a block."""
    if isinstance(of, FloatWeight):
        return (8, FLOAT_BLOCK) if len(of.shape) == 2 else None
    if not isinstance(of, GridWeight | RowWeight):
        return None
    low, high = of.range
    whole = of.group >= of.shape[1]
    block = next((b for b in BLOCKS if of.group % b == 0 or (whole and of.shape[1] % b == 0)), 32 if whole else 0)
    return (4 if high - low < 16 else 8, block) if block else None


def blocks(of: WeightType, parts: Parts, bits: int, block: int) -> Blocks:
    """A weight in that form: exactly, but for float matrices, which are rounded."""
    middle = 2 ** (bits - 1)
    if isinstance(of, FloatWeight):
        w = _filled(np.asarray(parts["values"], dtype=np.float32), block, 0.0)
        scales = np.maximum(np.abs(w).max(-1) / np.float32(middle - 1), np.float32(1e-30))
        codes = np.round(w / scales[..., None]) + middle
        return Blocks(codes.astype(np.uint8), scales, None)
    assert isinstance(of, GridWeight | RowWeight)
    low = of.range[0]
    shift = middle if low < 0 else 0
    codes = _filled(parts["codes"].astype(np.int16) + shift, block, middle).astype(np.uint8)
    count = codes.shape[1]
    wide = [min(i * block // of.group, of.groups - 1) for i in range(count)]
    if isinstance(of, RowWeight):
        scales = parts["steps"].astype(np.float32)[:, wide] * parts["scales"]
        offsets = parts["offsets"].astype(np.float32)[:, wide] * parts["scales"] + scales * middle
        return Blocks(codes, scales, offsets)
    scales = parts["scales"].astype(np.float32)[:, wide]
    if of.minimum:
        return Blocks(codes, scales, parts["minima"].astype(np.float32)[:, wide] + scales * middle)
    return Blocks(codes, scales, None)


def _filled(w: Array, block: int, fill: float) -> Array:
    """[out, in] as [out, blocks, block]; the last block is filled up."""
    short = -w.shape[1] % block
    w = np.pad(w, ((0, 0), (0, short)), constant_values=fill)
    return w.reshape(w.shape[0], -1, block)


def packed(codes: Array, bits: int) -> Array:
    """Bytes of codes [..., block]: two to a byte where they have 4 bits, the first one low."""
    return codes if bits == 8 else codes[..., ::2] | codes[..., 1::2] << 4


def blocked(c: Call, x: Value, shape: Shape, level: int) -> Value:
    """A value of the graph of that shape [..., in] times weight 0, by blocks; `level` is the operator's accuracy."""
    of, w, store = c.of(), c.weight(), c.emitter.store
    form = block_of(of)
    assert form is not None
    bits, block = form
    out, width = of.shape
    count = -(-width // block)

    def made() -> Blocks:
        return blocks(of, store.get(w), bits, block)

    codes = c.form(0, "codes", UINT8, (out, count, block * bits // 8), lambda: packed(made().codes, bits))
    scales = c.form(0, "block_scales", FLOAT, (out, count), lambda: made().scales)
    attributes = {"K": width, "N": out, "bits": bits, "block_size": block, "accuracy_level": level}
    y = c.b("MatMulNBits", as_floats(c, x), codes, scales, domain=DOMAIN, **attributes)
    if isinstance(of, RowWeight) or (isinstance(of, GridWeight) and of.minimum):
        added = c.form(0, "block_offsets", FLOAT, (count, out), lambda: _columns(made().offsets))
        y = c.b("Add", y, c.b("MatMul", block_sums(c, x, shape, block), added))
    return y


def as_floats(s: Scope, x: Value) -> Value:
    """A value of the graph in floats."""
    inner = s.bring(x, "x")
    assert x.dtype is not None
    return inner if x.dtype == FLOAT else s.b.cast(inner, FLOAT)


def _columns(offsets: Array | None) -> Array:
    assert offsets is not None
    return np.ascontiguousarray(offsets.T, dtype=np.float32)


def block_sums(c: Call, value: Value, shape: Shape, block: int) -> Value:
    """Sums of it over each block, [..., blocks], made once for all products that read it."""
    width = int(shape[-1])
    short = -width % block
    count = (width + short) // block

    def build(s: Scope) -> Value:
        b, x = s.b, as_floats(s, value)
        if short:
            x = b("Pad", x, b.i64([0, short]), b.f32(0.0), b.i64([-1]))
        return b("ReduceSum", b.with_tail(x, x, 1, (count, block)), b.i64([-1]), keepdims=0)

    axes = (*shape[:-1], count)
    return c.bring(c.emitter.shared(("sums", value.name, block), "BlockSums", build, FLOAT, axes), "sums")
