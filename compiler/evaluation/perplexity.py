"""Perplexity of a text by the standard protocol: windows that do not overlap, each starting anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...backends.interface import Runner
from ..errors import InputError
from .scoring import Progress

WINDOW = 2048
_CHUNK = 256  # positions run at once


@dataclass(frozen=True, slots=True)
class Perplexity:
    """exp of the mean loss over all predicted tokens; its standard error, from the spread between windows."""

    perplexity: float
    standard_error: float | None
    loss: float


def windows(ids: Sequence[int], length: int, limit: int | None, where: str) -> NDArray[np.int64]:
    """Tokens as windows i64 [N, length], without the last where it is not whole. Raises InputError if there is none."""
    count = len(ids) // length
    if count == 0:
        raise InputError(f"{where}: {len(ids)} tokens make no window of {length}; give more text or a shorter --window")
    count = count if limit is None else min(count, limit)
    return np.asarray(ids[: count * length], dtype=np.int64).reshape(count, length)


def losses(
    runner: Runner, tokens: NDArray[np.int64], progress: Progress = lambda done, total, what: None
) -> list[float]:
    """-log p summed over the tokens of each window but its first, which nothing predicts.

    A window is run in chunks, each after the past that the ones before it left: attention then reads what is causal
    and little more, which is several times faster than one call.
    """
    found = []
    for index, window in enumerate(tokens):
        progress(index, len(tokens), "windows")
        state, loss = runner.new_state(1), 0.0
        for start in range(0, len(window) - 1, _CHUNK):
            stop = min(start + _CHUNK, len(window) - 1)
            logits = torch.from_numpy(runner.run(window[None, start:stop], state)["logits"][0])
            loss -= _likelihood(logits, torch.from_numpy(window[start + 1 : stop + 1]))
        found.append(loss)
    return found


def _likelihood(logits: torch.Tensor, tokens: torch.Tensor) -> float:
    return torch.log_softmax(logits, -1).gather(-1, tokens[:, None]).double().sum().item()


def perplexity(sums: Sequence[float], length: int) -> Perplexity:
    """From the summed losses of windows of one length."""
    means = [s / (length - 1) for s in sums]
    loss = math.fsum(means) / len(means)
    value = exp(loss)
    if len(means) < 2:
        return Perplexity(value, None, loss)
    spread = math.sqrt(math.fsum((m - loss) ** 2 for m in means) / (len(means) - 1) / len(means))
    return Perplexity(value, value * spread, loss)


def exp(loss: float) -> float:
    """A loss as perplexity."""
    return math.exp(loss) if loss < 700 else math.inf
