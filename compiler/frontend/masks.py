"""What a mask hides besides padding, found by asking transformers' own mask function."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import InputError
from .attention import MaskFunction

FAR = 1 << 24  # beyond any window a config names


@dataclass(frozen=True)
class MaskRule:
    """Keys after the query are hidden if causal; a window of w leaves those less than w away (0: all)."""

    causal: bool
    window: int

    def shows(self, query: int, key: int) -> bool:
        """Whether a query sees a key, both by absolute index."""
        near = not self.window or abs(query - key) < self.window
        return near and (not self.causal or key <= query)


def read_mask(function: MaskFunction) -> MaskRule:
    """The rule a mask function follows.

    It is probed at single positions, then the rule found is checked at many. Raises InputError if it follows none
    of ours (chunks, blocks, anything that looks at the data).
    """

    def shows(query: int, key: int) -> bool:
        zero = torch.tensor(0)
        try:
            return bool(function(zero, zero, torch.tensor(query), torch.tensor(key)))
        except Exception as error:  # a mask over data holds tensors of the trace
            raise InputError(
                f"an attention mask depends on the data ({type(error).__name__}); not supported"
            ) from error

    causal = not shows(FAR, FAR + 1)
    rule = MaskRule(causal, _window(shows))
    edge = rule.window or 5
    for query in (0, 1, edge, 3 * edge + 1, FAR):
        for step in (-FAR, -edge - 1, -edge, 1 - edge, -1, 0, 1, edge - 1, edge, edge + 1, FAR):
            key = query + step
            if key >= 0 and shows(query, key) != rule.shows(query, key):
                raise InputError(f"an attention mask is neither causal, windowed nor full (query {query}, key {key})")
    return rule


def _window(shows: object) -> int:
    """The first distance back at which keys are hidden, by bisection; 0 if there is none."""
    assert callable(shows)
    if shows(FAR, 0):
        return 0
    low, high = 0, FAR
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shows(FAR, FAR - middle) else (low, middle)
    return high
