"""Weights by hash: passes add new ones and never change old ones, so every program stays runnable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import IRError
from .program import Program, Weight
from .types import FixedWeight, FloatWeight, GridWeight, RowWeight, WeightType

Array = NDArray[Any]
Parts = Mapping[str, Array]


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
    if isinstance(of, RowWeight):
        return np.asarray(integers(of, parts) * parts["scales"].astype(np.float32), dtype=np.float32)
    scales = np.repeat(parts["scales"].astype(np.float32), of.group, axis=1)[:, : of.shape[1]]
    values = codes * scales
    if of.minimum:
        values += np.repeat(parts["minima"].astype(np.float32), of.group, axis=1)[:, : of.shape[1]]
    return np.asarray(values, dtype=np.float32)


def integers(of: GridWeight | RowWeight, parts: Parts) -> NDArray[np.int32]:
    """What spikes add, int32 [out, in]: the codes, or step·code + offset where rows have one scale."""
    codes = parts["codes"].astype(np.int32)
    if isinstance(of, GridWeight):
        return codes
    steps, offsets = (
        np.repeat(parts[name].astype(np.int32), of.group, axis=1)[:, : of.shape[1]] for name in ("steps", "offsets")
    )
    return np.asarray(codes * steps + offsets, dtype=np.int32)


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

    def copy(self) -> Store:
        """A store with the same weights, which forgets and learns on its own."""
        made = Store()
        made._parts, made._lazy = dict(self._parts), dict(self._lazy)
        return made

    def keep_only(self, *programs: Program) -> None:
        """Forget every weight that none of these programs declares."""
        live = {w.sha256 for p in programs for w in p.weights.values()}
        self._parts = {k: v for k, v in self._parts.items() if k in live}
        self._lazy = {k: v for k, v in self._lazy.items() if k in live}


def _kept(given: Array, part: str, dtype: np.dtype[Any], of: WeightType) -> bool:
    """Whether a part's numbers survive being stored: codes as integers of the grid, the rest within their dtype."""
    if part == "values" or not given.size:
        return True
    if dtype.kind == "f":
        return bool(np.abs(given).max() <= np.finfo(dtype).max)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    whole = given.dtype.kind in "iu" or bool((given == np.round(given)).all())
    if part == "codes" and isinstance(of, GridWeight | RowWeight):
        runs = [(given[:, start:stop], least, most) for start, stop, least, most in of.ranges]
        return whole and all(bool(least <= run.min() and run.max() <= most) for run, least, most in runs)
    return whole and bool(low <= given.min() and given.max() <= high)


def _checked(name: str, of: WeightType, parts: Parts) -> dict[str, Array]:
    forms = of.forms
    if set(parts) != set(forms):
        raise IRError(f"weight @{name}: {of} has the parts {', '.join(forms)}, not {', '.join(sorted(parts))}")
    made: dict[str, Array] = {}
    for part, (dtype, shape) in forms.items():
        given = np.asarray(parts[part])
        if given.shape != shape:
            raise IRError(f"weight @{name}: {part} has shape {given.shape}, {of} wants {shape}")
        if not _kept(given, part, np.dtype(dtype), of):
            raise IRError(f"weight @{name}: {part} have numbers that {of} does not hold")
        made[part] = np.ascontiguousarray(given, dtype=dtype)
    return made
