"""Uniform weight grids with scales by group: round-to-nearest, and GPTQ's error feedback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import GridWeight

Parts = Mapping[str, NDArray[np.generic]]

# Shares of the full range tried when a group's scale is searched for the least squared error.
_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)


@dataclass(frozen=True, slots=True)
class Scales:
    """Scale and minimum of each group, float32 values that float16 holds: [out, groups]."""

    scale: torch.Tensor
    minimum: torch.Tensor | None


def _half(x: torch.Tensor) -> torch.Tensor:
    """Rounded to float16, as stored, and kept off zero and infinity."""
    return x.clamp(-65504.0, 65504.0).half().float()


def _codes(w: torch.Tensor, scale: torch.Tensor, minimum: torch.Tensor | None, of: GridWeight) -> torch.Tensor:
    low, high = of.range
    shifted = w if minimum is None else w - minimum
    return torch.clamp(torch.round(shifted / scale), low, high)


def find_scales(w: torch.Tensor, of: GridWeight, *, search: bool = True) -> Scales:
    """Scales for the columns w [out, inputs] of whole groups; with `search` those of least squared error."""
    out, inputs = w.shape
    groups = -(-inputs // of.group)
    padded = torch.nn.functional.pad(w, (0, groups * of.group - inputs)).reshape(out, groups, -1)
    low, high = of.range
    best_scale, best_minimum, best_error = None, None, None
    for share in _SHRINK if search else (1.0,):
        if of.minimum:
            bottom, top = padded.amin(-1) * share, padded.amax(-1) * share
            scale, minimum = _half((top - bottom) / (high - low)), _half(bottom)
        else:
            scale, minimum = _half(padded.abs().amax(-1) * share / high), None
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        third = None if minimum is None else minimum[..., None]
        codes = _codes(padded, scale[..., None], third, of)
        error = (codes * scale[..., None] + (0 if third is None else third) - padded).square().sum(-1)
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
    wide = scales.scale.repeat_interleave(of.group, 1)[:, : w.shape[1]]
    low = None if scales.minimum is None else scales.minimum.repeat_interleave(of.group, 1)[:, : w.shape[1]]
    return _parts(_codes(w, wide, low, of), scales)


def gptq(
    matrix: NDArray[np.float32], of: GridWeight, hessian: torch.Tensor, *, damp: float = 0.01, block: int = 64
) -> Parts:
    """Columns rounded one after the other, each error spread over those to come (Frantar et al., GPTQ, algorithm 1).

    hessian float64 [in, in] is Σ x xᵀ over calibration tokens. A group's scale is found when its first column is
    reached, from the weights as the errors so far have changed them.
    """
    w = torch.from_numpy(matrix).double().clone()
    inputs = w.shape[1]
    h = hessian.double().clone()
    dead = h.diagonal() == 0
    h[dead, dead] = 1.0
    h.diagonal().add_(damp * h.diagonal().mean())
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    codes = torch.zeros_like(w)
    scale = torch.zeros(len(w), of.groups, dtype=torch.float32)
    minimum = torch.zeros_like(scale) if of.minimum else None
    block = min(block, of.group) if of.group < inputs else block
    for start in range(0, inputs, block):
        stop = min(start + block, inputs)
        if start % of.group == 0:
            group = start // of.group
            found = find_scales(w[:, start : start + of.group].float(), of)
            scale[:, group] = found.scale[:, 0]
            if minimum is not None and found.minimum is not None:
                minimum[:, group] = found.minimum[:, 0]
        errors = torch.zeros(len(w), stop - start, dtype=w.dtype)
        for column in range(start, stop):
            group = column // of.group
            s, m = scale[:, group].double(), None if minimum is None else minimum[:, group].double()
            code = _codes(w[:, column], s, m, of)
            codes[:, column] = code
            value = code * s if m is None else code * s + m
            error = (w[:, column] - value) / factor[column, column]
            w[:, column:stop] -= error[:, None] * factor[column, column:stop]
            errors[:, column - start] = error
        w[:, stop:] -= errors @ factor[start:stop, stop:]
    return _parts(codes, Scales(scale, minimum))
