"""Weights of two programs: by hash, and how far numbers moved where both sides have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir import Weight
from .sides import Side


@dataclass(frozen=True, slots=True)
class WeightChange:
    """One weight; types and hashes are None where a side has none of that name. relative = ‖b - a‖ / ‖a‖, None where
    shapes differ or a side has no numbers."""

    name: str
    before: str | None
    after: str | None
    before_sha256: str | None
    after_sha256: str | None
    relative: float | None


def weight_changes(a: Side, b: Side, *, numbers: bool = True) -> tuple[list[WeightChange], int]:
    """Weights that are not the same in both, and how many are. Without `numbers` no weight is read."""
    found, same = [], 0
    mine, theirs = a.program.weights, b.program.weights
    for name in dict.fromkeys([*mine, *theirs]):
        x, y = mine.get(name), theirs.get(name)
        if x is not None and y is not None and x.sha256 == y.sha256 and x.type == y.type:
            same += 1
            continue
        moved = _moved(a, x, b, y) if numbers else None
        found.append(WeightChange(name, _type(x), _type(y), _sha(x), _sha(y), moved))
    return found, same


def _type(w: Weight | None) -> str | None:
    return None if w is None else str(w.type)


def _sha(w: Weight | None) -> str | None:
    return None if w is None else w.sha256


def _moved(a: Side, x: Weight | None, b: Side, y: Weight | None) -> float | None:
    if x is None or y is None or a.store is None or b.store is None or x.type.shape != y.type.shape:
        return None
    before, after = a.store.floats(x), b.store.floats(y)
    return float(np.linalg.norm(after - before) / (np.linalg.norm(before) or 1.0))
