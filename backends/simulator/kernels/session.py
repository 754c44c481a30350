"""What a model remembers between calls, and what it is given when a caller leaves something out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class State:
    """Arrays that grow along the token axis, the number of tokens past, and their mask i64[B,P]."""

    arrays: dict[str, Array]
    past: int
    mask: Array


def new_state(kinds: Mapping[str, tuple[str, tuple[int | str, ...]]], batch: int) -> State:
    """An empty state: kinds give dtype and shape, `B` standing for the batch and `P` for no tokens yet."""
    sizes = {"B": batch, "P": 0}
    arrays = {
        name: np.zeros([sizes[d] if isinstance(d, str) else d for d in shape], dtype)
        for name, (dtype, shape) in kinds.items()
    }
    return State(arrays, 0, np.zeros((batch, 0), dtype=np.int64))


def append(state: State, name: str, x: Array, *, axis: int) -> Array:
    """Add new entries to a state; gives the whole."""
    whole = np.concatenate((state.arrays[name], x.astype(state.arrays[name].dtype, copy=False)), axis=axis)
    state.arrays[name] = whole
    return whole


def complete(given: Mapping[str, Array], names: Iterable[str], state: State) -> dict[str, Array]:
    """The inputs of those names; mask, positions and types are made up where they are not given.

    Raises ValueError if the mask does not cover past and new tokens.
    """
    full = dict(given)
    batch, new = full["ids"].shape
    full.setdefault("mask", np.concatenate((state.mask, np.ones((batch, new), dtype=np.int64)), axis=1))
    if full["mask"].shape != (batch, state.past + new):
        raise ValueError(f"mask has shape {full['mask'].shape}, past and new are {(batch, state.past + new)}")
    state.mask = full["mask"]
    full.setdefault("positions", np.maximum(full["mask"].cumsum(1) - 1, 0)[:, state.past :])
    full.setdefault("types", np.zeros_like(full["ids"]))
    return {name: full[name] for name in names}
