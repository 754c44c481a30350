"""Softmax attention: which keys a query sees, soft-cap, ALiBi, probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def visible(mask: Array, new: int, causal: bool, window: int) -> Array:
    """Which keys each query sees: mask i64[B,P+S] -> bool[B,1,S,P+S]."""
    total = mask.shape[1]
    keys = np.arange(total)
    queries = np.arange(total - new, total)[:, None]
    seen = np.ones((new, total), dtype=bool)
    if causal:
        seen &= keys <= queries
    if window:
        seen &= keys > queries - window
        if not causal:
            seen &= keys < queries + window
    return np.asarray(seen & (mask != 0)[:, None, None, :])


def alibi_slopes(heads: int) -> Array:
    """One slope a head: a geometric series, the missing ones taken between (Press et al., ALiBi)."""
    power = 2 ** math.floor(math.log2(heads))
    base = 2.0 ** (-(2.0 ** -(math.log2(power) - 3)))
    slopes = [base**i for i in range(1, power + 1)]
    extra = 2.0 ** (-(2.0 ** -(math.log2(2 * power) - 3)))
    slopes += [extra**i for i in range(1, 2 * (heads - power), 2)]
    return np.array(slopes, dtype=np.float32)


def softmax(scores: Array, mask: Array, *, causal: bool, window: int, softcap: float, alibi: bool) -> Array:
    """Probabilities of scores f32[B,H,S,P+S] under mask i64[B,P+S]."""
    if softcap:
        scores = np.tanh(scores / np.float32(softcap)) * np.float32(softcap)
    if alibi:
        position = ((mask.cumsum(-1) - 1) * mask).astype(np.float32)
        scores = scores + alibi_slopes(scores.shape[1])[:, None, None] * position[:, None, None, :]
    seen = visible(mask, scores.shape[2], causal, window)
    hidden = np.where(seen, scores, np.finfo(np.float32).min)
    powers = np.exp(hidden - hidden.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def attend(q: Array, k: Array, v: Array, mask: Array, *, scale: float, **masking: Any) -> Array:
    """softmax(q·kᵀ·scale)·v, heads of q sharing those of k and v: f32[B,H,S,D]."""
    batch, heads, new, width = q.shape
    groups = k.shape[1]
    together = q.reshape(batch, groups, -1, width)  # the queries of heads that share a key, one after the other
    scores = (together @ k.swapaxes(2, 3)).reshape(batch, heads, new, -1) * np.float32(scale)
    p = softmax(scores, mask, **masking)
    return (p.reshape(batch, groups, -1, p.shape[3]) @ v).reshape(batch, heads, new, -1)
