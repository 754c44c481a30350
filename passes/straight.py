"""Rounding that gradients pass straight through: counts of activations, and weights on a clipped grid."""

from __future__ import annotations

import torch

from ..ir import GridWeight
from .grids import limits

T = torch.Tensor


def _round(x: T) -> T:
    """To nearest, with the gradient of x."""
    return x + (torch.round(x) - x).detach()


def counted(x: T, top: int) -> T:
    """Activations as the asymmetric encoder's counts stand for them, with gradients."""
    low, high = x.amin(-1, keepdim=True).clamp(max=0.0), x.amax(-1, keepdim=True).clamp(min=0.0)
    v = ((high - low) / top).clamp(min=1e-8)
    z = _round(-low / v)
    return (torch.clamp(_round(x / v) + z, 0, top) - z) * v


def signed(x: T, top: int) -> T:
    """Keys or values as the symmetric encoder's counts stand for them, one scale for each of the last axis."""
    v = (x.abs().amax(-1, keepdim=True) / top).clamp(min=1e-8)
    return _round(x / v) * v


def clipped(w: T, of: GridWeight, clip: list[T]) -> tuple[T, T, T | None]:
    """The matrix rounded on its clipped grid, with gradients; scales and minima [out, groups]."""
    low, high = limits(of)
    padded = torch.cat((w, w[:, -1:].expand(-1, of.groups * of.group - w.shape[1])), 1)
    spread = padded.reshape(w.shape[0], of.groups, of.group)
    if of.minimum:
        top, bottom = (f(-1) * torch.sigmoid(c) for f, c in zip((spread.amax, spread.amin), clip, strict=True))
        scale, minimum = ((top - bottom) / high).clamp(min=1e-6), bottom
        codes = torch.clamp(_round((spread - minimum[..., None]) / scale[..., None]), low[:, None], high[:, None])
        made = codes * scale[..., None] + minimum[..., None]
    else:
        scale, minimum = (spread.abs().amax(-1) * torch.sigmoid(clip[0]) / high).clamp(min=1e-6), None
        made = torch.clamp(_round(spread / scale[..., None]), low[:, None], high[:, None]) * scale[..., None]
    return made.flatten(1)[:, : w.shape[1]], scale, minimum
