"""Trains and currents between numpy and C, one sequence at a time: C has the steps of a train as bits of one number,
and those of a current before its last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import Current, Train, Type

Array = NDArray[Any]


def form(of: Type) -> str:
    """`train 4`, `current 4`, or nothing: what a value is, beside its dtype and shape, and its steps."""
    if isinstance(of, Train | Current):
        return f"{'train' if isinstance(of, Train) else 'current'} {of.steps}"
    return ""


def to_c(a: Array, of: str, index: int) -> Array:
    """Sequence `index` of an array, as C has it: [T, B, ...] to [1, ...] or [1, ..., T, d]."""
    if not of:
        return a[index : index + 1]
    kind, steps = of.split()
    one = a[:, index : index + 1]
    if kind == "current":
        return np.ascontiguousarray(np.moveaxis(one, 0, -2))
    weights = 1 << np.arange(int(steps))[::-1]
    return np.asarray(np.tensordot(weights, one.astype(np.int64), 1).astype(np.int8))


def from_c(a: Array, of: str) -> Array:
    """The way back: [T, 1, ...]."""
    if not of:
        return a
    kind, steps = of.split()
    if kind == "current":
        return np.ascontiguousarray(np.moveaxis(a, -2, 0))
    return np.stack([(a >> step & 1).astype(np.int8) for step in range(int(steps))[::-1]])


def join(parts: list[Array], of: str) -> Array:
    """Sequences back into one array."""
    return np.concatenate(parts, axis=1 if of else 0)
