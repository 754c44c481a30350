"""How sure a difference between two evaluations is: a paired bootstrap over the items both scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .results import Saved

RESAMPLES = 10_000
_ROWS = 500  # resamples in memory at once

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """B minus A in one metric, and the interval that 95 % of resampled differences lie in."""

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float


def compare(a: Saved, b: Saved, *, seed: int = 0, resamples: int = RESAMPLES) -> list[Difference]:
    """Compare two results of one task, item by item. Raises InputError if they are not of the same items."""
    _same(a, b)
    rows_a, rows_b = a.items, b.items
    found = []
    for key in ("acc", "acc_norm", "loss"):
        if all(key in row for row in (*rows_a, *rows_b)):
            name, mean = ("perplexity", _exp) if key == "loss" else (key, _identity)
            one, other = (np.array([row[key] for row in rows], dtype=np.float64) for rows in (rows_a, rows_b))
            found.append(paired_bootstrap(name, one, other, mean, seed=seed, resamples=resamples))
    if not found:
        raise InputError(f"{a.path} and {b.path}: have no metric in common")
    return found


def _identity(means: Values) -> Values:
    return means


def _exp(means: Values) -> Values:
    return np.exp(np.minimum(means, 700))


def paired_bootstrap(
    metric: str, a: Values, b: Values, of_mean: Callable[[Values], Values], *, seed: int, resamples: int
) -> Difference:
    """Resample items with replacement, the same in A and B, and take the percentiles 2.5 and 97.5 of B - A."""
    random = np.random.default_rng(seed)
    differences = np.empty(resamples)
    for start in range(0, resamples, _ROWS):
        part = differences[start : start + _ROWS]
        chosen = random.integers(0, len(a), (len(part), len(a)))
        part[:] = of_mean(b[chosen].mean(1)) - of_mean(a[chosen].mean(1))
    low, high = np.percentile(differences, [2.5, 97.5])
    one, other = (float(of_mean(np.asarray(v.mean()))) for v in (a, b))
    return Difference(metric, one, other, other - one, float(low), float(high))


def _same(a: Saved, b: Saved) -> None:
    def told(saved: Saved) -> dict[str, Any]:
        content = saved.content
        return {
            "kind": content.get("kind"),
            "data sha256": content.get("data", {}).get("sha256"),
            "window": content.get("protocol", {}).get("window"),
            "tokens of the text": content.get("protocol", {}).get("text_tokens"),
            "count": len(saved.items),
        }

    one, other = told(a), told(b)
    for key, value in one.items():
        if value != other[key]:
            raise InputError(f"{a.path} and {b.path}: differ in {key} ({value} and {other[key]}), so nothing pairs")
