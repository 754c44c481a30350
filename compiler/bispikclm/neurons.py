"""The arithmetic of a student: spikes forward exactly as the IR's `lif` ops, gradients backward by a surrogate.

Trains are float tensors of 0 and 1, currents float tensors on the grid of 2^-frac, both with time as the first axis.
Under `torch.export` each function is one op of `graph.py` instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch.nn import functional as F

from . import graph

Tensor = torch.Tensor
P = ParamSpec("P")

ALPHA = 2.0  # slope of the surrogate (reconstruction)


class _OnGrid(torch.autograd.Function):
    """Rounded to multiples of 2^-frac, ties to even; the gradient passes. `bound` keeps what int16 holds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frac: int, bound: bool) -> Tensor:
        codes = torch.round(x * 2.0**frac)
        if bound:
            codes = codes.clamp(-(2**15), 2**15 - 1)
        return codes * 2.0**-frac

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0], None, None


class _Fire(torch.autograd.Function):
    """U_t = I_t + (beta·U_{t-1} >> 8) - S_{t-1}·threshold ; S_t = U_t >= threshold, in int32 fixed point.

    Backward: dS/dU = (alpha/2) / (1 + (pi/2·alpha·x)²), x = (U - threshold) / threshold, through the leak but not
    through the reset.
    """

    @staticmethod
    def forward(ctx: Any, current: Tensor, frac: int, beta: int, threshold: int) -> Tensor:
        codes = (current * 2.0**frac).to(torch.int32)
        potential = torch.zeros_like(codes[0])
        spikes = torch.zeros_like(potential)
        for step in codes:  # each step's potential takes its current's place
            potential = step.add_((potential * beta).bitwise_right_shift_(8)).sub_(spikes, alpha=threshold)
            spikes = (potential >= threshold).to(torch.int32)
        ctx.save_for_backward(codes)
        ctx.neuron = (beta / 256, threshold)
        return (codes >= threshold).to(current.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (potentials,) = ctx.saved_tensors
        leak, threshold = ctx.neuron
        given = gradients[0]
        x = (potentials - threshold).to(given.dtype).mul_(math.pi / 2 * ALPHA / threshold)
        slope = x.square_().add_(1).reciprocal_().mul_(ALPHA / 2).mul_(given)
        for t in range(len(slope) - 2, -1, -1):
            slope[t].add_(slope[t + 1], alpha=leak)
        return slope, None, None, None


def _or_graph(op: Callable[P, Tensor]) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """`op` stands in for a function while a graph is captured."""

    def wrap(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            return op(*args, **kwargs) if torch.compiler.is_exporting() else function(*args, **kwargs)

        call.__doc__, call.__name__ = function.__doc__, function.__name__
        return call

    return wrap


def on_grid(x: Tensor, frac: int, *, bound: bool = False) -> Tensor:
    """x rounded to the grid, its gradient passed through; within int16 codes if `bound`."""
    rounded: Tensor = _OnGrid.apply(x, frac, bound)  # type: ignore[no-untyped-call]
    return rounded


@_or_graph(graph.encode)
def encode(x: Tensor, steps: int, frac: int, beta: int, threshold: int) -> Tensor:
    """A float value f32[...] as a current held over T steps, through neurons: train [T, ...]."""
    return fire(on_grid(x, frac).expand(steps, *x.shape), frac, beta, threshold)


@_or_graph(graph.fire)
def fire(current: Tensor, frac: int, beta: int, threshold: int) -> Tensor:
    """Neurons over a current [T, ...] on the grid of 2^-frac: train [T, ...]."""
    train: Tensor = _Fire.apply(current, frac, beta, threshold)  # type: ignore[no-untyped-call]
    return train


@_or_graph(graph.linear)
def linear(train: Tensor, weight: Tensor, bias: Tensor | None, frac: int) -> Tensor:
    """Each spike adds its column of weight [out, in], every step the bias [out]: train [T, ..., in] to current."""
    b = None if bias is None else on_grid(bias, frac, bound=True)
    return F.linear(train, on_grid(weight, frac, bound=True), b)


@_or_graph(graph.coincide)
def coincide(q: Tensor, k: Tensor, mask: Tensor, near: list[int], far: list[int]) -> Tensor:
    """A_int = (Q·Kᵀ) ∘ M, counts [T,B,H,S,S]."""
    return (q @ _shared(k, q).transpose(3, 4)) * visible(mask, near, far).to(q.dtype)


def visible(mask: Tensor, near: list[int], far: list[int]) -> Tensor:
    """M, bool [B,H,S,S], or [B,1,S,S] where all heads see the same: it hides keys after the query and what padding
    i64 [B,S] hides. With a near and a far for each head, it sees those alone that stand near to far tokens before."""
    places = torch.arange(mask.shape[1], device=mask.device)
    back = places[:, None] - places
    seen = (back >= 0) & (mask != 0)[:, None, None, :]
    if far:
        first, last = (torch.tensor(x, device=mask.device)[:, None, None] for x in (near, far))
        seen = seen & (back >= first) & (back <= last)
    return seen


@_or_graph(graph.gather)
def gather(a: Tensor, v: Tensor) -> Tensor:
    """A·V of binary A [T,B,H,S,S] and V [T,B,Hkv,S,D]: counts [T,B,H,S,D]."""
    return a @ _shared(v, a)


def _shared(x: Tensor, like: Tensor) -> Tensor:
    times = like.shape[2] // x.shape[2]
    return x if times == 1 else x.repeat_interleave(times, 2)


@_or_graph(graph.both)
def both(a: Tensor, b: Tensor) -> Tensor:
    """The spikes that two trains have in common (AND)."""
    return a * b


@_or_graph(graph.split)
def split(train: Tensor, heads: int) -> Tensor:
    """[T,B,S,H·D] to [T,B,H,S,D]."""
    return train.reshape(*train.shape[:-1], heads, -1).transpose(2, 3)


@_or_graph(graph.join)
def join(train: Tensor) -> Tensor:
    """[T,B,H,S,D] to [T,B,S,H·D]."""
    return train.transpose(2, 3).flatten(-2)


@_or_graph(graph.mean)
def mean(t: Tensor) -> Tensor:
    """The average over time: a firing rate, or a mean current."""
    return t.mean(0)
