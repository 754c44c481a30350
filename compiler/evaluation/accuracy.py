"""Accuracy of choices from their log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .perplexity import exp
from .scoring import Score
from .tasks import Item


def outcomes(item: Item, scores: Sequence[Score]) -> dict[str, float]:
    """What one item adds to each mean.

    acc: 1 where the gold choice has the highest log-likelihood; acc_norm: the highest log-likelihood a character of
    the choice. The first of equals counts as highest. An item of one choice (LAMBADA) is right where each token of it
    is the likeliest, and its loss gives a perplexity.
    """
    likelihoods = [s.likelihood for s in scores]
    if len(scores) == 1:
        return {"acc": float(scores[0].greedy), "loss": -likelihoods[0]}
    found = {"acc": float(_highest(likelihoods) == item.gold)}
    if item.lengths is not None:
        each = [value / length for value, length in zip(likelihoods, item.lengths, strict=True)]
        found["acc_norm"] = float(_highest(each) == item.gold)
    return found


def _highest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def metrics(found: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Means over items that all have them, each with its standard error; losses become a perplexity."""
    result: dict[str, float | None] = {}
    for name in found[0]:
        values = [one[name] for one in found if name in one]
        if len(values) < len(found):
            continue
        mean, error = math.fsum(values) / len(values), standard_error(values)
        if name == "loss":
            name, mean = "perplexity", exp(mean)
            error = None if error is None else error * mean
        result |= {name: mean, f"{name}_stderr": error}
    return result


def standard_error(values: Sequence[float]) -> float | None:
    """Of a mean, from the sample's spread; None of a single value."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
