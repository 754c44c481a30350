"""Stateful neurons and binary attention, in int32 fixed point, over explicit trains [T, ...]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attention import visible
from .count import Count
from .events import currents

Array = NDArray[Any]


def current(x: Array, *, steps: int, frac: int) -> Array:
    """f32[...] held constant over time, in fixed point: i32[T, ...]."""
    fixed = np.rint(x * np.float32(2**frac)).astype(np.int32)
    return np.broadcast_to(fixed, (steps, *fixed.shape))


def fire(c: Array, *, beta: int, threshold: int) -> Array:
    """Leaky membranes that fire at the threshold and lose it then: i32[T, ...] -> i8[T, ...]."""
    potential = np.zeros(c.shape[1:], dtype=np.int32)
    train = np.zeros(c.shape, dtype=np.int8)
    spikes = np.zeros_like(potential)
    for t, arriving in enumerate(c):
        potential = arriving + ((potential * np.int32(beta)) >> 8) - spikes * np.int32(threshold)
        spikes = (potential >= threshold).astype(np.int32)
        train[t] = spikes
    return train


def _note(train: Array, fan_out: int, count: Count) -> None:
    count.values += train[0].size
    count.nonzero += int(train.any(axis=0).sum())
    count.macs += train[0].size * fan_out


def linear(train: Array, columns: Array, count: Count, bias: Array | None = None) -> Array:
    """Each spike adds its weight column [in, out] to the current of its time step: i32[T, ..., out]."""
    steps, width = train.shape[0], train.shape[-1]
    summed = currents(train.reshape(steps, -1, width), columns, (0,), count).astype(np.int32, copy=False)
    y = summed.reshape(*train.shape[:-1], columns.shape[1])
    _note(train, columns.shape[1], count)
    return y if bias is None else y + bias


def coincide(
    q: Array,
    k: Array,
    mask: Array,
    count: Count,
    *,
    causal: bool,
    near: tuple[int, ...] = (),
    far: tuple[int, ...] = (),
) -> Array:
    """Spikes that queries and keys have in common, where a query sees the key: i32[T,B,H,S,P+S].

    A spike of a query adds the bits of its channel of all keys.
    """
    steps, batch, heads, new, _ = q.shape
    shared = heads // k.shape[2]
    made = np.empty((steps, batch, heads, new, k.shape[3]), dtype=np.int32)
    for t, b, h in np.ndindex(steps, batch, heads):
        keys = np.ascontiguousarray(k[t, b, h // shared].T)
        made[t, b, h] = currents(q[t : t + 1, b, h], keys, (0,), count, t)[0, :, 0]
    _note(q, k.shape[3], count)
    seen = visible(mask, new, causal, 0)
    if far:
        back = np.arange(total := mask.shape[1])[total - new :, None] - np.arange(total)
        seen = seen & (back >= np.reshape(near, (-1, 1, 1))) & (back <= np.reshape(far, (-1, 1, 1)))
    return made * seen


def gather(a: Array, v: Array, count: Count) -> Array:
    """Each spike of attention adds the value row it points at: i32[T,B,H,S,D]."""
    steps, batch, heads, new, _ = a.shape
    shared = heads // v.shape[2]
    made = np.empty((steps, batch, heads, new, v.shape[4]), dtype=np.int32)
    for t, b, h in np.ndindex(steps, batch, heads):
        made[t, b, h] = currents(a[t : t + 1, b, h], v[t, b, h // shared], (0,), count, t)[0, :, 0]
    _note(a, v.shape[4], count)
    return made


def mean(t: Array, *, unit: int) -> Array:
    """Average over time, in units of `unit`: f32[...]."""
    return np.asarray(t.astype(np.float32).mean(0) / np.float32(unit))
