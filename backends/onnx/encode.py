"""Encoders: from floats to counts, by standard operators."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import onnx_ir as onnx

from ...ir import Code, Ints, Spikes
from ...ir.ops.spikes import grid_tops
from . import fast, values
from .body import FLOAT, INT32, Array, Body, Value
from .emitter import Call
from .integers import digits, zero_points

TINY = 1e-30
CELLS = 1 << 16


def quantile(b: Body, magnitude: Value, q: float, width: int) -> Value:
    """The ⌊q·d⌋-th smallest of the last axis; 0 for the zeroth."""
    rank = int(q * width)
    if rank == 0:
        return b.f32([0.0])
    smallest, _ = b.many("TopK", magnitude, b.i64([rank]), outputs=2, axis=-1, largest=0, sorted=1)
    return b.part(smallest, -1, rank - 1, rank)


def clipped(c: Call, x: Value, width: int) -> Value:
    """Membrane clipping: soft shrinks magnitudes by their quantile, hard silences what lies below it."""
    b, form = c.b, c.attr("clip")
    if form == "none":
        return x
    magnitude = b("Abs", x)
    low = quantile(b, magnitude, c.attr("quantile"), width)
    if form == "soft":
        return b("Mul", b("Sign", x), b("Relu", b("Sub", magnitude, low)))
    return b("Where", b("Greater", magnitude, low), x, b.f32(0.0))


def most(b: Body, x: Value) -> Value:
    """max|x| of the last axis, which stays as one."""
    return b("ReduceMax", b("Abs", x), b.i64([-1]), keepdims=1)


def positive(c: Call, *scales: Value) -> Value:
    """The largest of some scales, or 1 for a token of zeros; in fast programs then a number close to 0."""
    b = c.b
    if c.emitter.options.fast:
        return b("Max", *scales, b.f32(TINY))
    v = scales[0] if len(scales) == 1 else b("Max", *scales)
    return b("Where", b("Greater", v, b.f32(TINY)), v, b.f32(1.0))


def threshold(c: Call, x: Value, top: int) -> Value:
    """V of a symmetric or offset grid."""
    b, kind, number = c.b, c.attr("threshold"), c.attr("factor")
    # An input, so that encoders that differ in it alone are one function.
    factor = c.constant(f"factor.{number}", FLOAT, (1,), lambda: np.array([number], dtype=np.float32), "factor")
    if kind == "static":
        v = b("Expand", factor, b("Concat", b("Shape", x, start=0, end=-1), b.i64([1]), axis=0))
    elif kind == "mean":
        v = b("Mul", b("ReduceMean", b("Abs", x), b.i64([-1]), keepdims=1), factor)
    else:
        v = b("Div", b("Mul", most(b, x), factor), b.f32(top))
    wide = [b("Div", most(b, x), b.f32(top))] if c.attr("overflow") == "widen" else []
    return positive(c, v, *wide)


def count_range(grid: str, top: int, code: Code) -> tuple[int, int]:
    """Least and largest count of an encoder."""
    low, high = {"symmetric": (-top, top), "offset": (0, 2 * top + 1), "asymmetric": (0, top)}[grid]
    return max(low, code.lo), min(high, code.hi)


def segment(c: Call, x: Value, width: int, code: Code, top: int) -> tuple[Value, Value, Value | None]:
    """Counts (as floats), scale and zero point of one segment of channels."""
    b, grid = c.b, c.attr("grid")
    u = clipped(c, x, width)
    measured = u if c.attr("order") == "clip_first" else x
    z: Value | None = None
    if grid == "asymmetric":
        bottom = b("Min", b("ReduceMin", measured, b.i64([-1]), keepdims=1), b.f32(0.0))
        above = b("Max", b("ReduceMax", measured, b.i64([-1]), keepdims=1), b.f32(0.0))
        v = positive(c, b("Div", b("Sub", above, bottom), b.f32(top)))
        z = b("Round", b("Div", b("Neg", bottom), v))
    else:
        v = threshold(c, measured, top)
        if grid == "offset":
            z = b("Expand", b.f32([top + 1]), b("Shape", v))
    if c.attr("price") and c.emitter.options.fast:
        return fast_counts(c, u, v, code, top), v, z
    u = b("Div", u, v)
    if c.attr("price"):
        return priced(c, u, code, top), v, z
    n = b("Round", u) if z is None else b("Add", b("Round", u), z)
    low, high = count_range(grid, top, code)
    return b("Clip", n, b.f32(low), b.f32(high)), v, z


def priced(c: Call, u: Value, code: Code, top: int) -> Value:
    """Counts that make error and spikes least together, looked up by the edges between them."""
    edges, counts = code.priced(top, c.attr("price"))
    index = by_cells(c, u, edges) if _cells(edges) <= CELLS else by_halves(c, u, edges)
    return c.b("Gather", table(c, counts.astype(np.float32)), index)


def table(c: Call, values_: Array) -> Value:
    """A table that encoders of one kind share."""
    name = f"table.{hashlib.sha256(values_.tobytes()).hexdigest()[:8]}"
    kind = onnx.DataType.from_numpy(values_.dtype)
    return c.constant(name, kind, values_.shape, lambda: values_, f"table{len(c.outer)}")


def _cells(edges: Array) -> float:
    return float((edges[-1] - edges[0]) / np.diff(edges).min()) if len(edges) > 1 else np.inf


def by_cells(c: Call, u: Value, edges: Array) -> Value:
    """How many edges lie below each u: from a table of cells as wide as the narrowest gap, then three more at most."""
    b, width, cells = c.b, np.diff(edges).min(), int(_cells(edges))
    starts = np.searchsorted(edges, edges[0] + width * (np.arange(cells + 3) - 1.5)).astype(np.int32)
    above = np.concatenate((edges, np.full(3, np.inf, dtype=np.float32))).astype(np.float32)
    cell = b("Div", b("Sub", u, b.f32(edges[0])), b.f32(width))
    cell = b("Floor", b("Clip", cell, b.f32(-1.0), b.f32(cells + 1)))
    i = b("Gather", table(c, starts), b("Add", b.cast(cell, INT32), b.i32(1)))
    for _ in range(3):
        i = b("Add", i, b.cast(b("Greater", u, b("Gather", table(c, above), i)), INT32))
    return i


def by_halves(c: Call, u: Value, edges: Array) -> Value:
    """The same by binary search, where the gaps differ too much for a table."""
    b, depth = c.b, max(1, len(edges).bit_length())
    above = np.full(2**depth - 1, np.inf, dtype=np.float32)
    above[: len(edges)] = edges
    i: Value | None = None
    for half in (2**k for k in range(depth - 1, -1, -1)):
        at = b.i32(half - 1) if i is None else b("Add", i, b.i32(half - 1))
        step = b("Mul", b.cast(b("Greater", u, b("Gather", table(c, above), at)), INT32), b.i32(half))
        i = step if i is None else b("Add", i, step)
    assert i is not None
    return i


FINE = 16


def fast_counts(c: Call, u: Value, v: Value, code: Code, top: int) -> Value:
    """The count by a table of cells of 1/16 of a threshold: within a cell of an edge it may be the neighbour, which
    costs almost the same. The bytes that products take come out of tables too."""
    b, of = c.b, c.result(0)
    assert isinstance(of, Spikes)
    edges, counts = code.priced(top, c.attr("price"))
    low, high = float(counts[0]) - 1, float(counts[-1]) + 1
    middles = low + (np.arange(int((high - low) * FINE)) + 0.5) / FINE
    found = counts[np.searchsorted(edges, middles)].astype(np.int32)
    at = b("Add", b("Div", u, b("Mul", v, b.f32(1 / FINE))), b.f32(-low * FINE))
    if c.attr("overflow") != "widen":
        at = b("Clip", at, b.f32(0.0), b.f32(len(found) - 1))
    at = b.cast(at, INT32)
    if c.op.result.name in c.emitter.bytes:
        return b.join([b("Gather", table(c, t), at) for t in as_bytes(found, *values.span(of))], -2)
    return b("Gather", table(c, found.astype(np.float32)), at)


def as_bytes(n: Array, low: int, high: int) -> list[Array]:
    """Integers as the bytes of `digits`."""
    made = []
    for zero in zero_points(low, high):
        byte = (n + zero) & 255
        made.append(byte.astype(np.uint8))
        n = (n + zero - byte) >> 8
    return made


def encode(c: Call) -> Sequence[Value]:
    """Counts, scale and, on unsigned grids, zero point, segment by segment."""
    b, x, of = c.b, c.x(), c.result(0)
    assert isinstance(of, Spikes)
    if c.emitter.options.fast:
        fast.choose_form(c)
    tops = grid_tops(c.op.attrs, of.segments)
    whole = len(of.segments) == 1
    made = [
        segment(c, x if whole else b.part(x, -1, s.start, s.stop), s.stop - s.start, s.code, top)
        for s, top in zip(of.segments, tops, strict=True)
    ]
    n, v, *zeros = (b.join([p for p in part if p is not None], -1) for part in zip(*made, strict=True) if part[0])
    return [as_held(c, n), v, *(b.cast(z, INT32) for z in zeros)]


def as_held(c: Call, n: Value) -> Value:
    """Whole floats as the first result is held."""
    if c.op.result.name in c.emitter.bytes:
        of = c.result(0)
        assert isinstance(of, Spikes)
        return n if c.attr("price") else c.b.join([x for x, _ in digits(c.b, n, *values.span(of))], -2)
    kind, _ = c.emitter.held(c.op.result.name, c.result(0))
    return n if kind == FLOAT else c.b.cast(n, kind)


def int_encode(c: Call) -> Sequence[Value]:
    """Integers of so many bits, and their scale."""
    b, x, of = c.b, c.x(), c.result(0)
    assert isinstance(of, Ints)
    v = positive(c, b("Div", most(b, x), b.f32(of.top)))
    n = b("Clip", b("Round", b("Div", x, v)), b.f32(-of.top if of.signed else 0), b.f32(of.top))
    return [as_held(c, n), v]
