"""Weights in the layouts that the kernels read (runtime/kernels.h): blocks of 16 outputs for the dense kernel, rows of
inputs for the event kernels, codes unsigned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import Code, GridWeight, IRError, RowWeight, Segment
from ...ir.types import planes

Array = NDArray[Any]
Linear = GridWeight | RowWeight

BLOCK, TILE, LINE = 16, 64, 64  # outputs, outputs, bytes
_SUMS = 2**15 - 1  # what the add kernel's 16-bit sums hold


def padded(out: int) -> int:
    """Outputs in whole blocks."""
    return -(-out // BLOCK) * BLOCK


@dataclass(frozen=True, slots=True)
class Cell:
    """Inputs `start` to `stop`, of one plane, segment and weight group; in the dense layout at `at`, `padded` long."""

    start: int
    stop: int
    at: int
    padded: int
    plane: int
    segment: int
    group: int
    first: int  # of the plane


def cells(starts: tuple[int, ...], of: Linear, nibbles: bool, widest: Sequence[int]) -> tuple[Cell, ...]:
    """The runs of inputs that a kernel takes at once, in segments at `starts`; `widest`: most inputs, by segment."""
    made: list[Cell] = []
    step, at = (8 if nibbles else 4), 0
    for plane, p in enumerate(planes(starts, of)):
        cuts = {p.start, p.stop}
        if isinstance(of, RowWeight):
            cuts |= {g for g in range(0, of.shape[1], of.group) if p.start < g < p.stop}
        edges = sorted(cuts)
        for start, stop in pairwise(edges):
            for first in range(start, stop, widest[p.segment]):
                last = min(first + widest[p.segment], stop)
                width = -(-(last - first) // step) * step
                made.append(Cell(first, last, at, width, plane, p.segment, first // of.group, p.start))
                at += width
    return tuple(made)


def unsigned(of: Linear, codes: Array) -> tuple[Array, int]:
    """Codes from 0 on, and what to add to each."""
    low = of.range[0]
    return (codes.astype(np.int16) - low).astype(np.uint8), low


def rows_to(a: Array, out: int) -> Array:
    """Rows of 0 appended until there are `out`."""
    return np.pad(a, [(0, out - a.shape[0])] + [(0, 0)] * (a.ndim - 1))


def interleaved(parts: Sequence[Array], gated: bool) -> Array:
    """The rows of several matrices, each in whole blocks: one after the other, or block by block in turns."""
    whole = [rows_to(p, padded(p.shape[0])) for p in parts]
    if not gated:
        return np.concatenate(whole)
    blocks = np.stack([p.reshape(-1, BLOCK, *p.shape[1:]) for p in whole], axis=1)
    return blocks.reshape(-1, *whole[0].shape[1:])


def dense_codes(codes: Array, runs: Sequence[Cell], nibbles: bool) -> Array:
    """u8 [out, in] to lines of 64 bytes: [blocks, lines, 16 outputs, 4 inputs]."""
    blocks, made = codes.shape[0] // BLOCK, []
    for run in runs:
        some = np.zeros((blocks, BLOCK, run.padded), dtype=np.uint8)
        some[:, :, : run.stop - run.start] = codes[:, run.start : run.stop].reshape(blocks, BLOCK, -1)
        if nibbles:
            halves = some.reshape(blocks, BLOCK, -1, 2, 4)
            some = halves[:, :, :, 0] | halves[:, :, :, 1] << 4
        made.append(some.reshape(blocks, BLOCK, -1, 4).transpose(0, 2, 1, 3))
    return np.concatenate(made, axis=1)


def nibble_lines(of: GridWeight, codes: Array) -> Array:
    """Codes i8 [out, in] of at most 4 bits in that layout, as one run."""
    width = of.shape[1]
    whole = rows_to(unsigned(of, codes)[0], padded(of.shape[0]))
    return dense_codes(whole, [Cell(0, width, 0, width, 0, 0, 0, 0)], True)


def dense_size(out: int, runs: Sequence[Cell], nibbles: bool) -> int:
    """Bytes of that."""
    return out * sum(run.padded for run in runs) // (2 if nibbles else 1)


def event_codes(codes: Array, nibbles: bool) -> Array:
    """u8 [out, in] to lines of 64 bytes: [64 outputs (nibbles: 128), in, 64]."""
    width = codes.shape[1]
    whole = rows_to(codes, lined(codes.shape[0], nibbles)).T
    if nibbles:
        halves = whole.reshape(width, -1, 2, TILE // 2)
        whole = halves[:, :, 0] | halves[:, :, 1] << 4
    return whole.reshape(width, -1, LINE).transpose(1, 0, 2)


def lined(out: int, nibbles: bool = True) -> int:
    """Outputs in whole lines of the event layout."""
    return -(-out // (LINE * (1 + nibbles))) * LINE * (1 + nibbles)


def narrow(offsets: Array, steps: Array, shift: int) -> Array:
    """Offsets -8·step + m·2^shift as m, of 8 bits. Raises IRError if they are none."""
    about = offsets.astype(np.int32) + 8 * steps.astype(np.int32)
    made: Array = (about >> shift).astype(np.int8)
    if np.any(made.astype(np.int32) << shift != about):
        raise IRError(f"the program's meta narrow_offsets = {shift} is not true of its weights")
    return made


def by_line(a: Array) -> Array:
    """[out, n] to [lines, n, 128]."""
    return rows_to(a, lined(a.shape[0])).reshape(-1, 2 * LINE, a.shape[1]).transpose(0, 2, 1)


def by_block(a: Array) -> Array:
    """[out, n] to [blocks, n, 16]."""
    return a.reshape(-1, BLOCK, a.shape[1]).transpose(0, 2, 1)


def plane_sums(integers: Array, starts: Sequence[int]) -> Array:
    """Σ of each plane's columns, i32 [out, planes]."""
    return np.add.reduceat(integers, list(starts), axis=1).astype(np.int32)


def matrix(values: Array) -> Array:
    """[out, in] to [blocks, in, 16 outputs]."""
    whole = rows_to(values, padded(values.shape[0]))
    return whole.reshape(-1, BLOCK, whole.shape[1]).transpose(0, 2, 1)


def trains(code: Code) -> tuple[Array, Array]:
    """Spikes of each count of a code, in order of time: where each count's begin (u32), and 2·step + sign (u16)."""
    train = code.encode(np.arange(code.lo, code.hi + 1)).T
    times = np.abs(train.astype(np.int32))
    first = np.concatenate(([0], np.cumsum(times.sum(1)))).astype("<u4")
    item = 2 * np.arange(code.steps) + (train < 0)
    return first, np.repeat(item.reshape(-1), times.reshape(-1)).astype("<u2")


DOUBLE, RAMP, WIDEN, CLEAR = 63, 64, 128, 256


def widest(code: Code, largest: int) -> int:
    """Most inputs that the add kernel sums at once: those of one step fit 16 bits, and so does a ramp's slope."""
    return max(1, _SUMS // (largest * code.level * max(1, _ramp_spikes(code))))


def _ramp_spikes(code: Code) -> int:
    train = np.abs(code.encode(np.array([code.lo, code.hi])))
    return int(train[np.array(code.ramps)].sum(0).max()) if any(code.ramps) else 1


def flags(segment: Segment, width: int, largest: int) -> list[int]:
    """What each step asks of the membrane (SD_DOUBLE and the rest), widened in time for sums of `width` inputs."""
    code = segment.code
    train = code.encode(np.arange(code.lo, code.hi + 1)).astype(np.int64)
    held, slope, made = np.zeros(train.shape[1], np.int64), np.zeros(train.shape[1], np.int64), []
    for spikes, doublings, ramp in zip(train, code.doublings, code.ramps, strict=True):
        slope = slope * (doublings == 0) + spikes * ramp
        arriving = slope if ramp else spikes
        flag = doublings | RAMP * ramp | CLEAR * (doublings > 0)
        # Doubled one after the other, the sums must fit at each.
        if np.abs((held << doublings) + arriving).max() * width * largest > _SUMS:
            flag |= WIDEN
            held = np.zeros_like(held)
        held = (held << doublings) + arriving
        made.append(flag)
    return made


def price_table(edges: Array, counts: Array, most: int = 1024) -> tuple[int, float, Array, Array, Array] | None:
    """Edges and counts of a priced encoder as a table over equal cells with at most one edge each.

    Gives cells a unit, shift, and by cell the edge, the count up to it and the count beyond. Which cell a ratio falls
    into is worked out in float32, as the kernel does, and rises with the ratio, so that the choice is exact. None if
    edges are too close together.
    """
    if not len(edges):
        return 1, 0.0, np.array([np.inf], "<f4"), counts[:1].astype("<i4"), counts[:1].astype("<i4")
    shift = np.float32(np.ceil(max(abs(float(edges[0])), abs(float(edges[-1])))) + 1)
    per = 1
    while per <= most:
        at = ((edges + shift) * np.float32(per)).astype(np.int32)
        if len(set(at.tolist())) == len(at):
            break
        per *= 2
    else:
        return None
    size = int(2 * shift * per) + 1
    below = np.searchsorted(at, np.arange(size), side="left")  # edges in the cells before
    own = np.searchsorted(at, np.arange(size), side="right") > below
    table = np.where(own, edges[np.minimum(below, len(edges) - 1)], np.float32(np.inf)).astype("<f4")
    base = counts[below].astype("<i4")
    beyond = counts[np.minimum(below + own, len(counts) - 1)].astype("<i4")
    return per, float(shift), table, base, beyond
