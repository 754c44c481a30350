"""Ops of the dense model, in float32. All tokens at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def embed(ids: Array, table: Array, *, offset: int) -> Array:
    """Rows ids + offset of a table [rows, d]."""
    rows: Array = table[ids + offset]
    return rows


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x·Wᵀ + b, W [out, in]."""
    y = x @ weight.T
    return y if bias is None else y + bias


def rms_norm(x: Array, gain: Array | None = None, *, eps: float, gain_offset: float) -> Array:
    """x / √(mean x² + eps) · (gain_offset + gain)."""
    y: Array = x * (1 / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(eps)))
    return y if gain is None else np.asarray(y * (gain + np.float32(gain_offset)))


def set_apart(x: Array, *, channels: tuple[int, ...], back: bool) -> Array:
    """Channels moved to the front of the last axis, or (back) from there to their places; others keep their order."""
    order = np.append(channels, np.delete(np.arange(x.shape[-1]), channels)).astype(np.intp)
    moved: Array = x[..., np.argsort(order) if back else order]
    return moved


def layer_norm(x: Array, gain: Array | None = None, bias: Array | None = None, *, eps: float) -> Array:
    """(x - mean) / √(var + eps) · gain + bias; a gain [H, D] is a norm of its own for each head of [B,H,S,D]."""
    centred = x - x.mean(-1, keepdims=True)
    y: Array = centred * (1 / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(eps)))
    if gain is not None:
        y = y * (gain if gain.ndim == 1 else gain[:, None])
    if bias is not None:
        y = y + (bias if bias.ndim == 1 else bias[:, None])
    return y


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # e^-x may be infinite, and the result is then rightly 0
        return 1 / (1 + np.exp(-x))


def _erf(x: Array) -> Array:
    """numpy has no erf: the C library's, element by element, in float64."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x.astype(np.float64)), dtype=np.float64)


def _gelu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + _erf(x * math.sqrt(0.5))), dtype=np.float32)


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.square(np.maximum(x, 0)),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
}


def activation(x: Array, *, kind: str) -> Array:
    """A function of each element."""
    return ACTIVATIONS[kind](x)


def softcap(x: Array, *, cap: float) -> Array:
    """cap · tanh(x / cap)."""
    return np.tanh(x / np.float32(cap)) * np.float32(cap)


def rope(x: Array, positions: Array, inv_freq: Array, *, layout: str, scaling: float) -> Array:
    """Pairs of channels of x [B,H,S,D] turned by position · inv_freq."""
    angle = positions[:, None, :, None].astype(np.float32) * inv_freq
    cos, sin = np.cos(angle) * np.float32(scaling), np.sin(angle) * np.float32(scaling)
    half = x.shape[-1] // 2
    a, b = (x[..., :half], x[..., half:]) if layout == "half" else (x[..., ::2], x[..., 1::2])
    turned = (a * cos - b * sin, b * cos + a * sin)
    return np.concatenate(turned, -1) if layout == "half" else np.stack(turned, -1).reshape(x.shape)


def rotate(x: Array, small: Array | None = None, *, hadamard: int) -> Array:
    """x · (F ⊗ H/√h) over the last axis: butterflies, then the small factor F."""
    y = x.reshape(*x.shape[:-1], -1, hadamard)
    shape, step = y.shape, 1
    while step < hadamard:
        pairs = y.reshape(*shape[:-1], -1, 2, step)
        a, b = pairs[..., 0, :], pairs[..., 1, :]
        y = np.stack((a + b, a - b), axis=-2).reshape(shape)
        step *= 2
    y = y * np.float32(1 / math.sqrt(hadamard))
    if small is not None:
        y = (y.swapaxes(-1, -2) @ small).swapaxes(-1, -2)
    return y.reshape(x.shape)
