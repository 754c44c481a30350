"""Reference kernels of stateful neurons and binary attention: int32 fixed point, step by step."""

from __future__ import annotations

import torch

from ..types import Current, Train
from .dense import visible
from .kernel import Call, T, kernel
from .spikes import exact_matmul

Out = tuple[T, ...]


@kernel("lif.current")
def current(c: Call) -> Out:
    fixed = torch.round(c.operands[0] * 2 ** c.attr("frac")).to(torch.int32)
    return (fixed.expand(c.attr("T"), *fixed.shape),)


@kernel("lif.fire")
def fire(c: Call) -> Out:
    threshold, beta = c.attr("threshold"), c.attr("beta")
    potential = torch.zeros_like(c.operands[0][0])
    spikes = torch.zeros_like(potential)
    train = []
    for step in c.operands[0]:
        potential = step + ((potential * beta) >> 8) - spikes * threshold
        spikes = (potential >= threshold).to(torch.int32)
        train.append(spikes)
    return (torch.stack(train).to(torch.int8),)


@kernel("lif.linear")
def linear(c: Call) -> Out:
    train, weight = c.operands[0], c.weights[0].parts["codes"]
    summed = exact_matmul(train, weight.T)
    return (summed + c.weights[1].parts["codes"].to(torch.int32) if len(c.weights) == 2 else summed,)


@kernel("lif.coincide")
def coincide(c: Call) -> Out:
    q, k, mask = c.operands
    k = k.repeat_interleave(q.shape[2] // k.shape[2], 2)
    counts = exact_matmul(q, k.transpose(3, 4))
    seen = visible(mask, q.shape[3], c.attr("causal"), 0)
    if c.attr("far"):
        seen = seen & _within(c.attr("near"), c.attr("far"), q.shape[3], mask.shape[1])
    return (counts * seen.to(torch.int32),)


def _within(near: tuple[int, ...], far: tuple[int, ...], new: int, total: int) -> T:
    """Which keys stand as far before a query as a head sees: bool[H,S,P+S]."""
    back = torch.arange(total - new, total)[:, None] - torch.arange(total)
    first, last = (torch.tensor(x)[:, None, None] for x in (near, far))
    return (back >= first) & (back <= last)


@kernel("lif.gather")
def gather(c: Call) -> Out:
    a, v = c.operands
    return (exact_matmul(a, v.repeat_interleave(a.shape[2] // v.shape[2], 2)),)


@kernel("lif.both")
def both(c: Call) -> Out:
    return (c.operands[0] & c.operands[1],)


@kernel("lif.reshape")
def reshape(c: Call) -> Out:
    (t,) = c.operands
    of = c.type(0)
    assert isinstance(of, Train | Current)
    sizes = dict(zip(of.shape, t.shape[1:], strict=True))
    y = t.reshape(t.shape[0], *[sizes[d] if isinstance(d, str) else d for d in c.attr("shape")])
    return (y.permute(0, *[a + 1 for a in c.attr("axes")]) if c.attr("axes") else y,)


@kernel("lif.mean")
def mean(c: Call) -> Out:
    of = c.type(0)
    unit = 2**of.frac if isinstance(of, Current) else 1
    return (c.operands[0].to(torch.float32).mean(0) / unit,)
