"""What encoders made of a few tokens: counts as a raster's source, and histograms."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...ir import Op, Spikes

TOKENS, CHANNELS = 32, 32
LIMIT = 64  # counts beyond it are put together at the ends of a histogram


class Trains:
    """Watches a run of one sequence; keeps each encoder's counts, of the first tokens and evenly chosen channels."""

    def __init__(self) -> None:
        self.encoders: list[dict[str, Any]] = []
        self.histograms: list[dict[str, Any]] = []

    def watch(self, op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        """As Interpreter.run's `watch`."""
        of = op.result.type
        if op.name != "spike.encode" or not isinstance(of, Spikes):
            return
        counts = by_token(results[0].numpy())
        channels = np.unique(np.linspace(0, counts.shape[1] - 1, min(CHANNELS, counts.shape[1])).round().astype(int))
        kept = counts[:TOKENS, channels].astype("<i2")
        self.encoders.append(
            {
                "op": op.result.name,
                "module": op.loc.module,
                "shape": list(kept.shape),
                "channels": channels.tolist(),
                "counts": base64.b64encode(kept.tobytes()).decode(),
            }
        )
        self.histograms.append({"op": op.result.name, "module": op.loc.module, **histogram(counts)})


def by_token(n: NDArray[Any]) -> NDArray[Any]:
    """Counts [1,S,d] or [1,H,S,d] as [S, channels]."""
    first = n[0]
    return np.asarray(first if first.ndim == 2 else np.moveaxis(first, 1, 0).reshape(first.shape[1], -1))


def histogram(n: NDArray[Any]) -> dict[str, Any]:
    """How often each count is there, from `low` on; what lies beyond ±LIMIT is at the ends, the largest beside."""
    clipped = np.clip(n, -LIMIT, LIMIT)
    low = int(clipped.min(initial=0))
    times = np.bincount((clipped - low).ravel().astype(np.int64))
    return {"low": low, "times": times.tolist(), "smallest": int(n.min(initial=0)), "largest": int(n.max(initial=0))}
