"""What neurons are in a captured graph: custom ops without a kernel, one for each op of the IR's `lif` family.

They exist only in graphs, as attention does (`frontend/attention.py`); the lowering rules are in
`frontend/rules/lif.py`. Trains and currents have time as their first axis.
"""

from __future__ import annotations

import torch

Tensor = torch.Tensor


def _absent() -> Tensor:
    raise NotImplementedError("sdllm's spike ops only stand in captured graphs")


@torch.library.custom_op("sdllm::lif_encode", mutates_args=())
def encode(x: Tensor, steps: int, frac: int, beta: int, threshold: int) -> Tensor:
    """f32[...] held as a current, through neurons: train [T, ...]."""
    return _absent()


@encode.register_fake
def _encode(x: Tensor, steps: int, frac: int, beta: int, threshold: int) -> Tensor:
    return x.new_empty((steps, *x.shape))


@torch.library.custom_op("sdllm::lif_fire", mutates_args=())
def fire(current: Tensor, frac: int, beta: int, threshold: int) -> Tensor:
    """Current [T, ...] through neurons: train [T, ...]."""
    return _absent()


@fire.register_fake
def _fire(current: Tensor, frac: int, beta: int, threshold: int) -> Tensor:
    return torch.empty_like(current)


@torch.library.custom_op("sdllm::lif_linear", mutates_args=())
def linear(train: Tensor, weight: Tensor, bias: Tensor | None, frac: int) -> Tensor:
    """Train [T, ..., in] to current [T, ..., out]."""
    return _absent()


@linear.register_fake
def _linear(train: Tensor, weight: Tensor, bias: Tensor | None, frac: int) -> Tensor:
    return train.new_empty((*train.shape[:-1], weight.shape[0]))


@torch.library.custom_op("sdllm::lif_coincide", mutates_args=())
def coincide(q: Tensor, k: Tensor, mask: Tensor, near: list[int], far: list[int]) -> Tensor:
    """Trains q [T,B,H,S,D] and k [T,B,Hkv,S,D] under the causal mask, spans and padding i64 [B,S]: current
    [T,B,H,S,S]."""
    return _absent()


@coincide.register_fake
def _coincide(q: Tensor, k: Tensor, mask: Tensor, near: list[int], far: list[int]) -> Tensor:
    return q.new_empty((*q.shape[:4], k.shape[3]))


@torch.library.custom_op("sdllm::lif_gather", mutates_args=())
def gather(a: Tensor, v: Tensor) -> Tensor:
    """Trains a [T,B,H,S,S] and v [T,B,Hkv,S,D]: current [T,B,H,S,D]."""
    return _absent()


@gather.register_fake
def _gather(a: Tensor, v: Tensor) -> Tensor:
    return a.new_empty((*a.shape[:4], v.shape[4]))


@torch.library.custom_op("sdllm::lif_both", mutates_args=())
def both(a: Tensor, b: Tensor) -> Tensor:
    """Spikes that two trains have in common."""
    return _absent()


@both.register_fake
def _both(a: Tensor, b: Tensor) -> Tensor:
    return torch.empty_like(a)


@torch.library.custom_op("sdllm::lif_split", mutates_args=())
def split(train: Tensor, heads: int) -> Tensor:
    """[T,B,S,H·D] to [T,B,H,S,D]."""
    return _absent()


@split.register_fake
def _split(train: Tensor, heads: int) -> Tensor:
    steps, batch, tokens, width = train.shape
    return train.new_empty((steps, batch, heads, tokens, width // heads))


@torch.library.custom_op("sdllm::lif_join", mutates_args=())
def join(train: Tensor) -> Tensor:
    """[T,B,H,S,D] to [T,B,S,H·D]."""
    return _absent()


@join.register_fake
def _join(train: Tensor) -> Tensor:
    steps, batch, heads, tokens, width = train.shape
    return train.new_empty((steps, batch, tokens, heads * width))


@torch.library.custom_op("sdllm::lif_mean", mutates_args=())
def mean(t: Tensor) -> Tensor:
    """Average over time: [T, ...] to [...]."""
    return _absent()


@mean.register_fake
def _mean(t: Tensor) -> Tensor:
    return t.new_empty(t.shape[1:])
