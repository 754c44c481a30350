"""Uniform weight grids with scales by group: round-to-nearest, and GPTQ's error feedback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import GridWeight
from .base import PassError

Parts = Mapping[str, NDArray[Any]]

# Shares of the full range tried when a group's scale is searched for the least squared error.
_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)
_FURTHER = (0.55, 0.5, 0.45, 0.4, 0.35, 0.3)  # and with fewer than 4 levels, which gain from clipping far more


@dataclass(frozen=True, slots=True)
class Scales:
    """Scale and minimum of each group, float32 values that float16 holds: [out, groups]."""

    scale: torch.Tensor
    minimum: torch.Tensor | None


def _half(x: torch.Tensor) -> torch.Tensor:
    """Rounded to float16, as stored, and kept off zero and infinity."""
    return x.clamp(-65504.0, 65504.0).half().float()


def limits(of: GridWeight) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the greatest code of each group, float32 [groups] each. Raises PassError where a group has more
    than one spike code, and so no scale that suits all of it.
    """
    found = torch.empty(2, of.groups)
    for start, stop, low, high in of.ranges:
        if start % of.group:
            raise PassError(f"weights' spikes change at input {start}, within a group of {of.group} on one scale")
        found[:, start // of.group : -(-stop // of.group)] = torch.tensor([[low], [high]], dtype=torch.float32)
    return found[0], found[1]


def _codes(
    w: torch.Tensor, scale: torch.Tensor, minimum: torch.Tensor | None, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    shifted = w if minimum is None else w - minimum
    return torch.clamp(torch.round(shifted / scale), low, high)


def find_scales(
    w: torch.Tensor, of: GridWeight, *, search: bool = True, first: int = 0, costs: torch.Tensor | None = None
) -> Scales:
    """Scales for the columns w [out, inputs] of whole groups from `first` on; with `search` those of least squared
    error, each column's times its cost [inputs].
    """
    out, inputs = w.shape
    groups = -(-inputs // of.group)
    # The last group may be smaller: its last input stands in for those it lacks, so that they widen no range.
    lacking = groups * of.group - inputs
    padded = torch.cat((w, w[:, -1:].expand(out, lacking)), 1).reshape(out, groups, -1)
    costs = None if costs is None else torch.cat((costs, costs.new_zeros(lacking))).reshape(groups, -1)
    low, high = (limit[first : first + groups] for limit in limits(of))
    best_scale, best_minimum, best_error = None, None, None
    few = float((high - low).min()) < 3
    for share in (*_SHRINK, *_FURTHER * few) if search else (1.0,):
        if of.minimum:
            bottom, top = padded.amin(-1) * share, padded.amax(-1) * share
            scale, minimum = _half((top - bottom) / (high - low)), _half(bottom)
        else:
            scale, minimum = _half(padded.abs().amax(-1) * share / high), None
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        third = None if minimum is None else minimum[..., None]
        codes = _codes(padded, scale[..., None], third, low[:, None], high[:, None])
        off = (codes * scale[..., None] + (0 if third is None else third) - padded).square()
        error = (off if costs is None else off * costs).sum(-1)
        if best_error is None or best_scale is None:
            best_scale, best_minimum, best_error = scale, minimum, error
            continue
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_scale = torch.where(better, scale, best_scale)
        if minimum is not None and best_minimum is not None:
            best_minimum = torch.where(better, minimum, best_minimum)
    assert best_scale is not None
    return Scales(best_scale, best_minimum)


def _parts(codes: torch.Tensor, scales: Scales) -> Parts:
    parts = {"codes": codes.to(torch.int8).numpy(), "scales": scales.scale.half().numpy()}
    if scales.minimum is not None:
        parts["minima"] = scales.minimum.half().numpy()
    return parts


def round_to_nearest(matrix: NDArray[np.float32], of: GridWeight, *, search: bool = True) -> Parts:
    """Each weight to its nearest grid value: parts of the GridWeight."""
    w = torch.from_numpy(matrix)
    scales = find_scales(w, of, search=search)
    return on_grid(w, of, scales.scale, scales.minimum)[0]


def on_grid(
    w: torch.Tensor, of: GridWeight, scale: torch.Tensor, minimum: torch.Tensor | None
) -> tuple[Parts, torch.Tensor]:
    """Parts of a matrix [out, in] on the grid with these scales and minima [out, groups], and what they stand for."""
    scales = Scales(_half(scale).clamp(min=2.0**-24), None if minimum is None else _half(minimum))
    wide = scales.scale.repeat_interleave(of.group, 1)[:, : w.shape[1]]
    low = None if scales.minimum is None else scales.minimum.repeat_interleave(of.group, 1)[:, : w.shape[1]]
    least, most = (limit.repeat_interleave(of.group)[: w.shape[1]] for limit in limits(of))
    codes = _codes(w, wide, low, least, most)
    return _parts(codes, scales), codes * wide + (0.0 if low is None else low)


def inverse_factor(moments: torch.Tensor, damp: float) -> torch.Tensor:
    """Upper Cholesky factor f32 [in, in] of the inverse of Σ x xᵀ float64 [in, in], damped by a share of its mean
    diagonal; inputs never seen count as 1.
    """
    h = moments.double().clone()
    dead = h.diagonal() == 0
    h[dead, dead] = 1.0
    h.diagonal().add_(damp * h.diagonal().mean())
    # H = R·Rᵀ with R upper triangular gives H⁻¹ = UᵀU with U = R⁻¹: one factorisation, run from the last input up.
    r = torch.linalg.cholesky(h.flip(0, 1)).flip(0, 1)
    identity = torch.eye(len(h), dtype=h.dtype)
    factor: torch.Tensor = torch.linalg.solve_triangular(r, identity, upper=True)
    return factor.float()


def _spans(inputs: int, group: int, block: int) -> Iterator[tuple[int, int]]:
    """Inputs in blocks, none of which reaches into two groups."""
    for first in range(0, inputs, group):
        last = min(first + group, inputs)
        for start in range(first, last, block):
            yield start, min(start + block, last)


def gptq(
    matrix: NDArray[np.float32], of: GridWeight, factor: torch.Tensor, *, block: int = 64, costly: bool = False
) -> Parts:
    """Columns rounded one after the other, each error spread over those to come (Frantar et al., GPTQ, algorithm 1).

    factor f32 [in, in] is what `inverse_factor` makes of the inputs' second moments. A group's scale is found when its
    first column is reached, from the weights as the errors so far have changed them; with `costly` by what rounding a
    column costs the outputs, once the columns after it have made good what they can: its squared error over the
    factor's squared diagonal (GPTQ, equation 2).
    """
    inputs = matrix.shape[1]
    # Inputs lie along the rows here, so that the column being rounded is contiguous.
    w = np.ascontiguousarray(matrix.T)
    u = factor.numpy()
    codes = np.zeros_like(w)
    scale = np.ones((of.groups, w.shape[1]), dtype=np.float32)
    minimum = np.zeros_like(scale)
    lows, highs = (limit.numpy() for limit in limits(of))
    for start, stop in _spans(inputs, of.group, block):
        group = start // of.group
        if start % of.group == 0:
            some = torch.from_numpy(w[start : start + of.group].T.copy())
            costs = factor.diagonal()[start : start + of.group] ** -2.0 if costly else None
            found = find_scales(some, of, first=group, costs=costs)
            scale[group] = found.scale[:, 0].numpy()
            minimum[group] = 0.0 if found.minimum is None else found.minimum[:, 0].numpy()
        errors = np.zeros((stop - start, w.shape[1]), dtype=np.float32)
        for column in range(start, stop):
            codes[column] = np.clip(np.rint((w[column] - minimum[group]) / scale[group]), lows[group], highs[group])
            error = (w[column] - codes[column] * scale[group] - minimum[group]) / u[column, column]
            w[column:stop] -= u[column, column:stop, None] * error
            errors[column - start] = error
        w[stop:] -= u[start:stop, stop:].T @ errors
    scales = Scales(torch.from_numpy(scale.T.copy()), torch.from_numpy(minimum.T.copy()) if of.minimum else None)
    return _parts(torch.from_numpy(codes.T.copy()), scales)
