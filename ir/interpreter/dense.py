"""Reference kernels of the float ops (float32 torch)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from ..ops.dense import front_order
from ..types import Current, Train
from .kernel import Call, T, kernel

Out = tuple[T, ...]


@kernel("nn.embed")
def embed(c: Call) -> Out:
    return (F.embedding(c.operands[0] + c.attr("offset"), c.weights[0].values),)


@kernel("nn.linear")
def linear(c: Call) -> Out:
    return (F.linear(c.operands[0], c.weights[0].values, c.weights[1].values if len(c.weights) == 2 else None),)


@kernel("nn.rms_norm")
def rms_norm(c: Call) -> Out:
    (x,) = c.operands
    y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c.attr("eps"))
    return (y * (c.weights[0].values + c.attr("gain_offset")) if c.weights else y,)


@kernel("nn.layer_norm")
def layer_norm(c: Call) -> Out:
    (x,) = c.operands
    y = F.layer_norm(x, (x.shape[-1],), eps=c.attr("eps"))
    gains = [w.values if w.values.dim() == 1 else w.values[:, None] for w in c.weights]
    if gains:
        y = y * gains[0]
    return (y + gains[1] if len(gains) == 2 else y,)


@kernel("nn.add")
def add(c: Call) -> Out:
    return (c.operands[0] + c.operands[1],)


@kernel("nn.mul")
def mul(c: Call) -> Out:
    return (c.operands[0] * c.operands[1],)


@kernel("nn.scale")
def scale(c: Call) -> Out:
    return (c.operands[0] * c.attr("by"),)


@kernel("nn.bias")
def bias(c: Call) -> Out:
    return (c.operands[0] + c.weights[0].values,)


_ACTIVATIONS: dict[str, Callable[[T], T]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "relu2": lambda x: torch.relu(x).square(),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


@kernel("nn.activation")
def activation(c: Call) -> Out:
    return (_ACTIVATIONS[c.attr("kind")](c.operands[0]),)


@kernel("nn.softcap")
def softcap(c: Call) -> Out:
    return (torch.tanh(c.operands[0] / c.attr("cap")) * c.attr("cap"),)


@kernel("nn.rope")
def rope(c: Call) -> Out:
    x, positions = c.operands
    angle = positions[:, None, :, None].float() * c.weights[0].values
    cos, sin = angle.cos() * c.attr("scaling"), angle.sin() * c.attr("scaling")
    if c.attr("layout") == "half":
        a, b = x.chunk(2, dim=-1)
        return (torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1),)
    a, b = x[..., ::2], x[..., 1::2]
    return (torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2),)


@kernel("nn.reshape")
def reshape(c: Call) -> Out:
    (x,) = c.operands
    sizes = dict(zip(c.type(0).shape, x.shape, strict=True))
    return (x.reshape([sizes[d] if isinstance(d, str) else d for d in c.attr("shape")]),)


@kernel("nn.permute")
def permute(c: Call) -> Out:
    return (c.operands[0].permute(c.attr("axes")),)


@kernel("nn.slice")
def slice_(c: Call) -> Out:
    start, stop = c.attr("start"), c.attr("stop")
    return (c.operands[0].narrow(c.attr("axis"), start, stop - start),)


@kernel("nn.concat")
def concat(c: Call) -> Out:
    return (torch.cat(c.operands, dim=c.attr("axis")),)


@kernel("nn.repeat")
def repeat(c: Call) -> Out:
    return (c.operands[0].repeat_interleave(c.attr("times"), dim=c.attr("axis")),)


@kernel("nn.set_apart")
def set_apart(c: Call) -> Out:
    (x,) = c.operands
    return (x[..., front_order(c.attr("channels"), x.shape[-1], c.attr("back"))],)


def hadamard(x: T) -> T:
    """x · H/√h over the last axis, h a power of two, by butterflies: log2 h additions an element."""
    width, step = x.shape[-1], 1
    shape = x.shape
    while step < width:
        pairs = x.reshape(*shape[:-1], -1, 2, step)
        a, b = pairs[..., 0, :], pairs[..., 1, :]
        x = torch.stack((a + b, a - b), dim=-2).reshape(shape)
        step *= 2
    return x * (1.0 / math.sqrt(width))


@kernel("nn.rotate")
def rotate(c: Call) -> Out:
    (x,) = c.operands
    y = hadamard(x.reshape(*x.shape[:-1], -1, c.attr("hadamard")))
    if c.weights:
        y = torch.einsum("...fh,fg->...gh", y, c.weights[0].values)
    return (y.reshape(x.shape),)


@kernel("state.append")
def append(c: Call) -> Out:
    assert c.op.state is not None
    axis = c.attr("axis") + (1 if isinstance(c.type(0), Train | Current) else 0)
    whole = torch.cat((c.state[c.op.state], c.operands[0].to(c.state[c.op.state].dtype)), dim=axis)
    c.state[c.op.state] = whole
    return (whole,)


def alibi_slopes(heads: int) -> T:
    """BLOOM's slopes, one a head: a geometric series, the missing ones taken between (Press et al., ALiBi)."""
    power = 2 ** math.floor(math.log2(heads))
    base = 2.0 ** (-(2.0 ** -(math.log2(power) - 3)))
    slopes = [base**i for i in range(1, power + 1)]
    extra = 2.0 ** (-(2.0 ** -(math.log2(2 * power) - 3)))
    slopes += [extra**i for i in range(1, 2 * (heads - power), 2)]
    return torch.tensor(slopes, dtype=torch.float32)


def visible(mask: T, new: int, causal: bool, window: int) -> T:
    """Which keys each query sees: mask i64[B,P+S] -> bool[B,1,S,P+S]."""
    total = mask.shape[1]
    keys = torch.arange(total)
    queries = torch.arange(total - new, total)[:, None]
    seen = torch.ones(new, total, dtype=torch.bool)
    if causal:
        seen &= keys <= queries
    if window:
        seen &= keys > queries - window
        if not causal:
            seen &= keys < queries + window
    return seen & (mask != 0)[:, None, None, :]


def masked_softmax(c: Call, scores: T, mask: T) -> T:
    """Soft-cap, ALiBi, mask and softmax, by the op's attributes: f32[B,H,S,P+S]."""
    if c.attr("softcap"):
        scores = torch.tanh(scores / c.attr("softcap")) * c.attr("softcap")
    if c.attr("alibi"):
        position = ((mask.cumsum(-1) - 1) * mask).float()
        scores = scores + alibi_slopes(scores.shape[1])[:, None, None] * position[:, None, None, :]
    seen = visible(mask, scores.shape[2], c.attr("causal"), c.attr("window"))
    return torch.softmax(scores.masked_fill(~seen, torch.finfo(torch.float32).min), dim=-1)


@kernel("nn.softmax")
def softmax(c: Call) -> Out:
    return (masked_softmax(c, *c.operands),)


@kernel("nn.attend")
def attend(c: Call) -> Out:
    q, k, v, mask = c.operands
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    scores = torch.matmul(q, k.transpose(2, 3)) * c.attr("scale")
    return (torch.matmul(masked_softmax(c, scores, mask), v),)
