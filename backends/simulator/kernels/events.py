"""Events: which channels spike at which time step, and the weight columns that they add to membranes.

A product driven by spikes is only additions here, of one column for each spike; spikes of sign -1 are summed apart
and subtracted. Sums are kept apart for each time step, token and membrane plane, and no count is ever multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .count import Count

Array = NDArray[Any]

# Channels of one plane are summed in lanes of at most so many: many short sums side by side are numpy's best case.
LANE = 64
# Sums held at once; more time steps or tokens than fit are taken in turns, so that they stay in the cache.
ROOM = 2**21
# Below so many outputs a column is summed along the events rather than across the outputs.
NARROW = 16


class Code(Protocol):
    """A spike code, as ir/codes.py has it."""

    @property
    def steps(self) -> int: ...
    @property
    def lo(self) -> int: ...
    @property
    def hi(self) -> int: ...
    @property
    def level(self) -> int: ...
    @property
    def doublings(self) -> tuple[int, ...]: ...
    @property
    def ramps(self) -> tuple[bool, ...]: ...
    def priced(self, top: int, price: float) -> tuple[Array, Array]: ...
    def encode(self, n: Array) -> Array: ...


@dataclass(frozen=True, slots=True)
class Lanes:
    """How channels are split into sums. Each channel has two slots, one for each sign.

    `channel`, `lane` and `sign` are by slot, slots in order of lane; lane 2i sums the positive spikes of cell i and
    lane 2i+1 the negative ones. `edges` are the first cells of each plane, and the number of cells.
    """

    channel: Array
    lane: Array
    sign: Array
    edges: tuple[int, ...]

    @property
    def cells(self) -> int:
        return self.edges[-1]


@lru_cache(maxsize=256)
def lanes_of(starts: tuple[int, ...], width: int) -> Lanes:
    """Lanes of planes which begin at channels `starts` of `width`."""
    channel: list[Array] = []
    edges = [0]
    for start, stop in zip(starts, (*starts[1:], width), strict=True):
        cells = [np.arange(first, min(first + LANE, stop)) for first in range(start, stop, LANE)]
        channel += [cell for cell in cells for _ in (+1, -1)]
        edges.append(edges[-1] + len(cells))
    lane = np.repeat(np.arange(len(channel)), [len(c) for c in channel])
    sign = np.where(lane % 2 == 0, 1, -1).astype(np.int8)
    return Lanes(np.concatenate(channel), lane, sign, tuple(edges))


@dataclass(frozen=True, slots=True)
class Events:
    """Spikes in order of time step, token and lane: the channel of each, and where each (step, token, lane) begins.

    `sizes` are the spikes of each, [steps · tokens · lanes].
    """

    channel: Array
    first: Array
    sizes: Array


def events_of(train: Array, lanes: Lanes) -> Events:
    """The events of a train int8 [steps, tokens, channels]. A spike of level l is l events."""
    slots = len(lanes.channel)
    height = (train.take(lanes.channel, axis=2) * lanes.sign).reshape(-1)
    place = np.flatnonzero(height > 0)
    if height.size and height.max() > 1:
        place = np.repeat(place, height[place])
    row = place // slots
    slot = place - row * slots
    sizes = np.bincount(row * (2 * lanes.cells) + lanes.lane[slot], minlength=height.size // slots * 2 * lanes.cells)
    return Events(lanes.channel[slot], np.cumsum(sizes) - sizes, sizes)


def _sum_dtype(columns: Array, longest: int) -> Any:
    """A type that holds sums of so many columns, and the difference of two of them, exactly."""
    if columns.dtype == np.int8 and longest < 2**7:
        return np.int16
    return columns.dtype if columns.dtype.kind == "f" else np.int32


def _sum_across(events: Events, columns: Array, count: Count) -> Array:
    """Sum of the columns of each run of events [runs, out]: the k-th event of all runs is added at once."""
    order = np.argsort(-events.sizes, kind="stable")
    sizes, first = events.sizes[order], events.first[order]
    longest, out = int(sizes[0]), columns.shape[1]
    sums = np.zeros((np.count_nonzero(sizes), out), _sum_dtype(columns, longest))
    picked = np.empty(sums.shape, columns.dtype)
    alive = np.searchsorted(-sizes, -np.arange(longest), side="left")
    for k, runs in enumerate(alive.tolist()):
        # "clip" only spares numpy a copy here: every channel is within the columns.
        arriving = columns.take(events.channel[first[:runs] + k], axis=0, out=picked[:runs], mode="clip")
        sums[:runs] += arriving
        count.additions += arriving.size
    whole = np.zeros((len(order), out), sums.dtype)
    whole[order[: len(sums)]] = sums
    return whole


def _sum_along(events: Events, columns: Array, count: Count) -> Array:
    """The same sums, run by run: faster where columns are short."""
    busy = np.flatnonzero(events.sizes)
    dtype = columns.dtype if columns.dtype.kind == "f" else np.int32
    picked = columns.T.take(events.channel, axis=1).astype(dtype, copy=False)
    whole = np.zeros((len(events.sizes), columns.shape[1]), dtype)
    whole[busy] = np.add.reduceat(picked, events.first[busy], axis=1).T
    count.additions += picked.size
    return whole


def currents(train: Array, columns: Array, starts: tuple[int, ...], count: Count, step: int = 0) -> Array:
    """Σ ±column over the spikes of each time step, token and plane: [steps, tokens, planes, out].

    train int8 [steps, tokens, in], columns [in, out] (int8, int16, int32 or float32), planes beginning at inputs
    `starts`; the sums are int16 or int32, or float32. `step` is the time of the train's first step, for the count.
    """
    steps, tokens, width = train.shape
    lanes = lanes_of(starts, width)
    events = events_of(train, lanes)
    count.spiked(step, events.sizes.reshape(steps, -1).sum(1).tolist())
    shape = (steps, tokens, len(starts), columns.shape[1])
    if not events.channel.size:
        return np.zeros(shape, _sum_dtype(columns, 0))
    sum_up = _sum_along if columns.shape[1] < NARROW else _sum_across
    sums = sum_up(events, columns, count).reshape(steps, tokens, lanes.cells, 2, -1)
    signed = sums[..., 0, :] - sums[..., 1, :]
    if lanes.cells == len(starts):
        return signed
    dtype = np.float32 if signed.dtype.kind == "f" else np.int32
    pairs = zip(lanes.edges, lanes.edges[1:], strict=False)
    return np.stack([signed[:, :, a:b].sum(2, dtype=dtype) for a, b in pairs], axis=2)


def drive(n: Array, code: Code, columns: Array, starts: Sequence[int], count: Count) -> Array:
    """Membranes after the trains of counts n int [tokens, in] have been played: [tokens, planes, out].

    Before each step the membrane is doubled as often as the code says; in a ramp spikes go into a slope, which every
    step adds to the membrane. int32, or float32 on float columns.
    """
    tokens, out = n.shape[0], columns.shape[1]
    dtype = np.float32 if columns.dtype.kind == "f" else np.int32
    membrane = np.zeros((tokens, len(starts), out), dtype)
    sums = 2 * lanes_of(tuple(starts), n.shape[1]).cells * out
    tokens_at_once = max(1, ROOM // (sums * code.steps))
    steps_at_once = max(1, ROOM // (sums * tokens_at_once))
    for first in range(0, tokens, tokens_at_once):
        some = slice(first, first + tokens_at_once)
        train = code.encode(n[some])
        slope = np.zeros_like(membrane[some])
        for step in range(0, code.steps, steps_at_once):
            now = slice(step, step + steps_at_once)
            arriving = currents(train[now], columns, tuple(starts), count, step)
            _play(membrane[some], slope, arriving, code.doublings[now], code.ramps[now], count)
    count.values += n.size
    count.nonzero += int(np.count_nonzero(n))
    return membrane


def _play(
    membrane: Array, slope: Array, arriving: Array, doublings: Sequence[int], ramps: Sequence[bool], count: Count
) -> None:
    """Let currents [steps, ...] arrive at a membrane, step by step, in place."""
    for current, doubled, ramp in zip(arriving, doublings, ramps, strict=True):
        for _ in range(doubled):
            membrane += membrane
            count.updates += membrane.size
        if ramp:
            if doubled:
                slope[:] = 0
            slope += current
            membrane += slope
            count.updates += membrane.size
        else:
            membrane += current
