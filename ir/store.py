"""Weights by hash: passes add new ones and never change old ones, so every program stays runnable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import IRError
from .program import Program, Weight
from .types import FixedWeight, FloatWeight, GridWeight, WeightType

Array = NDArray[Any]
Parts = Mapping[str, Array]

_DTYPES = {"values": np.float32, "codes": np.int8, "scales": np.float16, "minima": np.float16}


def digest(parts: Parts) -> str:
    """sha256 over each part's name, dtype, shape and little-endian bytes, parts in name order."""
    total = hashlib.sha256()
    for name in sorted(parts):
        a = np.ascontiguousarray(parts[name])
        a = a.astype(a.dtype.newbyteorder("<"), copy=False)
        total.update(f"{name} {a.dtype.str} {a.shape}\n".encode())
        total.update(a.data if a.size else b"")
    return total.hexdigest()


def dequantize(of: WeightType, parts: Parts) -> NDArray[np.float32]:
    """Float32 values of a weight of any type."""
    if isinstance(of, FloatWeight):
        return np.asarray(parts["values"], dtype=np.float32)
    codes = parts["codes"].astype(np.float32)
    if isinstance(of, FixedWeight):
        return codes / np.float32(2**of.frac)
    scales = np.repeat(parts["scales"].astype(np.float32), of.group, axis=1)[:, : of.shape[1]]
    values = codes * scales
    if of.minimum:
        values += np.repeat(parts["minima"].astype(np.float32), of.group, axis=1)[:, : of.shape[1]]
    return np.asarray(values, dtype=np.float32)


class Store:
    """Parts of weights by sha256. Lazy entries are functions that read a tensor when it is asked for."""

    def __init__(self) -> None:
        self._parts: dict[str, Parts] = {}
        self._lazy: dict[str, Callable[[], Parts]] = {}

    def put(self, name: str, of: WeightType, parts: Parts) -> Weight:
        """Keep a weight and give its declaration. Raises IRError if parts, dtypes or shapes do not fit the type."""
        checked = _checked(name, of, parts)
        sha = digest(checked)
        if sha not in self._lazy:
            self._parts[sha] = checked
        return Weight(name, of, sha)

    def put_float(self, name: str, values: Array) -> Weight:
        """A float32 weight."""
        a = np.ascontiguousarray(values, dtype=np.float32)
        return self.put(name, FloatWeight(a.shape), {"values": a})

    def put_lazy(self, name: str, read: Callable[[], Array]) -> Weight:
        """A float32 weight that is read again each time it is needed, rather than kept in memory."""
        a = np.ascontiguousarray(read(), dtype=np.float32)
        weight = Weight(name, FloatWeight(a.shape), digest({"values": a}))
        self._lazy[weight.sha256] = lambda: {"values": np.ascontiguousarray(read(), dtype=np.float32)}
        return weight

    def get(self, weight: Weight) -> Parts:
        """The arrays of a weight. Raises IRError if the store has none of that hash."""
        if weight.sha256 in self._parts:
            return self._parts[weight.sha256]
        if weight.sha256 not in self._lazy:
            raise IRError(f"weight @{weight.name}: no tensor with sha256 {weight.sha256[:12]}… in the store")
        return self._lazy[weight.sha256]()

    def floats(self, weight: Weight) -> NDArray[np.float32]:
        """Float32 values of a weight of any type."""
        return dequantize(weight.type, self.get(weight))

    def keep_only(self, *programs: Program) -> None:
        """Forget every weight that none of these programs declares."""
        live = {w.sha256 for p in programs for w in p.weights.values()}
        self._parts = {k: v for k, v in self._parts.items() if k in live}
        self._lazy = {k: v for k, v in self._lazy.items() if k in live}


def _kept(given: Array, part: str, of: WeightType) -> bool:
    """Whether a part's numbers survive being stored: codes as integers of the grid, scales within float16."""
    if part == "values":
        return True
    low, high = of.range if isinstance(of, GridWeight) else (-(2**15), 2**15 - 1)
    if part != "codes":
        low, high = -65504, 65504
    inside = given.size == 0 or bool(low <= given.min() and given.max() <= high)
    return inside and (part != "codes" or given.dtype.kind in "iu" or bool((given == np.round(given)).all()))


def _checked(name: str, of: WeightType, parts: Parts) -> dict[str, Array]:
    if set(parts) != set(of.parts):
        raise IRError(f"weight @{name}: {of} has the parts {', '.join(of.parts)}, not {', '.join(sorted(parts))}")
    made: dict[str, Array] = {}
    for part in of.parts:
        dtype = np.int16 if isinstance(of, FixedWeight) else _DTYPES[part]
        given = np.asarray(parts[part])
        wanted = (of.shape[0], of.groups) if isinstance(of, GridWeight) and part != "codes" else of.shape
        if given.shape != wanted:
            raise IRError(f"weight @{name}: {part} has shape {given.shape}, {of} wants {wanted}")
        if not _kept(given, part, of):
            raise IRError(f"weight @{name}: {part} have numbers that {of} does not hold")
        made[part] = np.ascontiguousarray(given, dtype=dtype)
    return made
