"""How close a program is to its source: perplexity, KL divergence and token agreement on the same tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Run = Callable[[NDArray[np.int64]], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Perplexities of source and compiled program on the same tokens; mean KL(source || compiled) in nats a token;
    share of positions where both hold the same token likeliest."""

    tokens: int
    source_perplexity: float
    perplexity: float
    kl: float
    agreement: float

    @property
    def ratio(self) -> float:
        """Compiled over source perplexity."""
        return self.perplexity / self.source_perplexity


def likeness(
    source: Run,
    compiled: Run,
    tokens: NDArray[np.int64],
    batch: int = 2,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Likeness:
    """Compare two causal runs on windows of tokens i64 [N, L]; each window starts anew."""
    sums = torch.zeros(4, dtype=torch.float64)
    seen = 0
    for start in range(0, len(tokens), batch):
        progress(start, len(tokens), "perplexity")
        ids = tokens[start : start + batch]
        a, b = (torch.log_softmax(_logits(run, ids), -1) for run in (source, compiled))
        following = torch.from_numpy(ids[:, 1:, None])
        sums[0] -= a.gather(-1, following).double().sum()
        sums[1] -= b.gather(-1, following).double().sum()
        sums[2] += (a.exp() * (a - b)).double().sum()
        sums[3] += (a.argmax(-1) == b.argmax(-1)).double().sum()
        seen += following.numel()
    source_nll, nll, kl, same = (sums / seen).tolist()
    return Likeness(seen, math.exp(source_nll), _exp(nll), kl, same)


def _exp(nll: float) -> float:
    return math.exp(nll) if nll < 700 else math.inf


def _logits(run: Run, ids: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(run(ids)["logits"])[:, :-1]
