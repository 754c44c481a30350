"""The spike ops: float to counts, events into membranes, and the one multiply at read-out.

Planes are (start, stop, segment, group) of the inputs they sum; segments (start, stop, code) of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .count import Count
from .events import Code, drive

Array = NDArray[Any]

TINY = 1e-30


class Segment(Protocol):
    """Channels that share a code."""

    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def code(self) -> Code: ...


class Plane(Protocol):
    """Inputs that share a membrane plane."""

    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def segment(self) -> int: ...
    @property
    def group(self) -> int: ...


def _quantile(magnitude: Array, q: float) -> Array:
    """The ⌊q·d⌋-th smallest of the last axis, 0 for the zeroth."""
    rank = int(q * magnitude.shape[-1])
    if rank == 0:
        return np.zeros_like(magnitude[..., :1])
    return np.partition(magnitude, rank - 1, axis=-1)[..., rank - 1 : rank]


def _clipped(x: Array, form: str, q: float) -> Array:
    """Membrane clipping: soft shrinks magnitudes by their quantile, hard silences what lies below it."""
    if form == "none":
        return x
    magnitude = np.abs(x)
    low = _quantile(magnitude, q)
    if form == "soft":
        return np.asarray(np.sign(x) * np.maximum(magnitude - low, 0))
    return np.where(magnitude > low, x, np.float32(0))


def _usable(v: Array) -> Array:
    """A step of 1 where all is silent."""
    return np.where(v > TINY, v, np.float32(1))


def _threshold(x: Array, kind: str, factor: float, top: int) -> Array:
    if kind == "static":
        return np.full_like(x[..., :1], factor)
    if kind == "mean":
        return np.asarray(np.abs(x).mean(-1, keepdims=True) * np.float32(factor))
    return np.asarray(np.abs(x).max(-1, keepdims=True) * np.float32(factor) / np.float32(top))


def _encode_segment(
    x: Array,
    code: Code,
    grid: str,
    top: int,
    threshold: str,
    factor: float,
    clip: str,
    quantile: float,
    order: str,
    overflow: str,
    price: float,
) -> tuple[Array, Array, Array]:
    u = _clipped(x, clip, quantile)
    measured = u if order == "clip_first" else x
    if grid == "asymmetric":
        low = np.minimum(measured.min(-1, keepdims=True), 0)
        v = _usable((np.maximum(measured.max(-1, keepdims=True), 0) - low) / np.float32(top))
        z = np.rint(-low / v)
    else:
        v = _threshold(measured, threshold, factor, top)
        if overflow == "widen":
            v = np.maximum(v, np.abs(measured).max(-1, keepdims=True) / np.float32(top))
        v = _usable(v)
        z = np.full_like(v, top + 1 if grid == "offset" else 0)
    if price:
        edges, counts = code.priced(top, price)
        n = counts[np.searchsorted(edges, u / v)]
    else:
        least, most = {"symmetric": (-top, top), "offset": (0, 2 * top + 1), "asymmetric": (0, top)}[grid]
        n = np.clip(np.rint(u / v) + z, max(least, code.lo), min(most, code.hi))
    return n.astype(np.int32), v, z.astype(np.int32)


def encode(x: Array, segments: Sequence[Segment], *, grid: str, tops: Sequence[int], **rule: Any) -> tuple[Array, ...]:
    """f32[..., d] to counts i32, scale f32[..., K] and, off the symmetric grid, zero point i32[..., K]."""
    made = [
        _encode_segment(x[..., s.start : s.stop], s.code, grid, top, **rule)
        for s, top in zip(segments, tops, strict=True)
    ]
    n, v, z = made[0] if len(made) == 1 else tuple(np.concatenate(p, -1) for p in zip(*made, strict=True))
    return (n, v) if grid == "symmetric" else (n, v, z)


def encode_integers(x: Array, *, top: int, signed: bool) -> tuple[Array, Array]:
    """f32[..., d] to integers i32 up to `top` and their scale f32[..., 1]."""
    v = _usable(np.abs(x).max(-1, keepdims=True) / np.float32(top))
    return np.clip(np.rint(x / v), -top if signed else 0, top).astype(np.int32), v


def linear(n: Array, segments: Sequence[Segment], columns: Array, cells: Sequence[Plane], count: Count) -> Array:
    """Counts [..., in] drive membranes [..., planes, out] over columns [in, out]: one token's events after another."""
    flat = n.reshape(-1, n.shape[-1])
    made = []
    for index, s in enumerate(segments):
        starts = tuple(p.start - s.start for p in cells if p.segment == index)
        made.append(drive(flat[:, s.start : s.stop], s.code, columns[s.start : s.stop], starts, count))
    count.macs += n.size * columns.shape[1]
    membrane = made[0] if len(made) == 1 else np.concatenate(made, axis=1)
    return membrane.reshape(*n.shape[:-1], *membrane.shape[1:])


def center(membrane: Array, zero: Array, sums: Array, cells: Sequence[Plane]) -> Array:
    """Membrane less z·ΣW of each plane; sums [planes, out]."""
    z = zero[..., [p.segment for p in cells]].astype(membrane.dtype)
    return np.asarray(membrane - z[..., None] * sums)


def count_sum(n: Array, cells: Sequence[Plane], zero: Array | None = None) -> Array:
    """Sum of counts, less the zero point, of each plane: i32[..., planes]."""
    sums = np.add.reduceat(n, [p.start for p in cells], axis=-1)
    if zero is not None:
        widths = np.array([p.stop - p.start for p in cells], dtype=np.int32)
        sums = sums - zero[..., [p.segment for p in cells]] * widths
    return sums.astype(np.int32, copy=False)


def read_out(
    membrane: Array,
    v: Array,
    cells: Sequence[Plane],
    *,
    scales: Array | None = None,
    minima: Array | None = None,
    sums: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """Σ_p V_p·(d_p·M_p + m_p·N_p) + b: f32[..., out]; scales and minima f32[planes, out], sums N i32[..., planes]."""
    y = membrane.astype(np.float32)
    if scales is not None:
        y *= scales
    if minima is not None and sums is not None:
        y += minima * sums.astype(np.float32)[..., None]
    y *= v[..., [p.segment for p in cells]][..., None]
    total: Array = y.sum(-2)
    return total if bias is None else total + bias


def matmul(a: Array, n: Array, code: Code, count: Count, *, transpose: bool) -> Array:
    """Integers [B,H,S,K] times spikes [B,Hkv,K,N]: membranes [B,H,S,1,N].

    A spike (k, j) adds column k of the integers, of all rows and all heads that share it, to membrane column j.
    """
    n = n if transpose else n.swapaxes(2, 3)  # [B,Hkv,N,K]
    batch, heads, new, inner = a.shape
    shared, outer = heads // n.shape[1], n.shape[2]
    made = np.empty((batch, n.shape[1], shared, new, outer), dtype=np.int32)
    for b in range(batch):
        for h in range(n.shape[1]):
            columns = np.ascontiguousarray(a[b, h * shared : (h + 1) * shared].reshape(-1, inner).T)
            membrane = drive(n[b, h], code, columns, (0,), count)
            made[b, h] = membrane.T.reshape(shared, new, outer)
    count.macs += a.size * outer
    return made.reshape(batch, heads, new, 1, outer)


def read_matmul(membrane: Array, rows: Array, columns: Array | None = None) -> Array:
    """M·rows (·columns): f32[B,H,S,N]."""
    y = membrane[..., 0, :].astype(np.float32) * rows
    return y if columns is None else y * columns
