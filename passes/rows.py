"""Weights whose groups have integer steps and offsets on one scale a row: one membrane, one multiply an output."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import GridWeight, RowWeight
from .grids import Parts, find_scales

_TOP_STEP = 255
_TOP_OFFSET = 2**15 - 1


def rows_on_one_scale(matrix: NDArray[np.float32], of: RowWeight, *, search: bool = True) -> Parts:
    """Parts of a RowWeight nearest to a matrix [out, in].

    Each group gets the step and minimum a grid with float scales would have, so that a matrix which lies on such a
    grid, as one read from a Q4_1 file does, is found back. The widest step of a row becomes 255, the others and all
    offsets whole multiples of the same scale, and codes are chosen anew on what that leaves.
    """
    w = torch.from_numpy(matrix)
    found = find_scales(w, GridWeight(of.bits, of.group, True, of.shape), search=search)
    assert found.minimum is not None
    steps, minima = (x.abs().amax(1, keepdim=True) for x in (found.scale, found.minimum))
    unit = torch.maximum(steps / _TOP_STEP, minima / _TOP_OFFSET)
    step = (found.scale / unit).round().clamp(1, _TOP_STEP)
    middle = of.range[1] / 2  # where a step's rounding should not move a group
    offset = ((found.minimum + middle * found.scale) / unit - middle * step).round().clamp(-_TOP_OFFSET, _TOP_OFFSET)

    def spread(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(of.group, 1)[:, : w.shape[1]]

    codes = ((w / unit - spread(offset)) / spread(step)).round().clamp(*of.range)
    return {
        "codes": codes.to(torch.int8).numpy(),
        "steps": step.to(torch.uint8).numpy(),
        "offsets": offset.to(torch.int16).numpy(),
        "scales": unit.numpy(),
    }
