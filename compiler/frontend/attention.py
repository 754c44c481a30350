"""Attention as one op of ours in the captured graph, with all that changes its result.

transformers calls whatever attention function stands under a config's name for it, and builds masks by a mask
function under the same name. Ours are custom ops without a kernel: they exist only in graphs. The mask op keeps the
padding mask as a tensor and the rest (causal, window) as the number of a `MaskRule`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from ..errors import InputError

NAME = "sdllm"

# Arguments attention functions are given that do not change what they compute, or that the mask already says.
HARMLESS = frozenset(
    [
        "cache_position",
        "cu_seq_lens_k",
        "cu_seq_lens_q",
        "deterministic",
        "dropout",
        "is_causal",
        "max_length_k",
        "max_length_q",
        "output_attentions",
        "output_hidden_states",
        "position_ids",
        "sliding_window",
        "use_cache",
    ]
)


@torch.library.custom_op("sdllm::attend", mutates_args=())
def attend_op(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
    softcap: float,
    alibi: bool,
) -> torch.Tensor:
    """q [B,H,S,D], k and v [B,Hkv,S,D] -> [B,H,S,D]. Has no kernel."""
    raise NotImplementedError("sdllm::attend only stands in captured graphs")


@attend_op.register_fake
def _attend_shape(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float, softcap: float, alibi: bool
) -> torch.Tensor:
    return q.new_empty((*q.shape[:3], v.shape[3]))


@torch.library.custom_op("sdllm::mask", mutates_args=())
def mask_op(padding: torch.Tensor, rule: int) -> torch.Tensor:
    """The padding mask [B,S] with the number of the rule that says what else is hidden. Has no kernel."""
    raise NotImplementedError("sdllm::mask only stands in captured graphs")


@mask_op.register_fake
def _mask_shape(padding: torch.Tensor, rule: int) -> torch.Tensor:
    return torch.empty_like(padding)


MaskFunction = Callable[..., Any]
_seen: ContextVar[list[MaskFunction]] = ContextVar("mask functions met during a capture")


@contextlib.contextmanager
def recording() -> Iterator[list[MaskFunction]]:
    """Collects the mask functions that a model builds its masks from; their place is their number in the graph."""
    found: list[MaskFunction] = []
    token = _seen.set(found)
    try:
        yield found
    finally:
        _seen.reset(token)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls. Gives [B,S,H,D]. Raises InputError for operands we do not know."""
    where = type(module).__name__
    unknown = sorted(k for k, v in rest.items() if v is not None and k not in HARMLESS)
    if unknown:
        raise InputError(f"{where}: its attention takes '{unknown[0]}', which is not supported")
    if attention_mask is None:
        raise InputError(f"{where}: attention without a mask of transformers' mask interface is not supported")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = attend_op(query, key, value, attention_mask, float(scale), float(softcap or 0.0), False)
    return out.transpose(1, 2), None


def _mask(*, mask_function: MaskFunction, attention_mask: torch.Tensor | None = None, **rest: Any) -> torch.Tensor:
    """What transformers builds masks by: the padding mask as it came, and the function by number."""
    if attention_mask is None:
        raise InputError("a mask is built without the padding mask, which is not supported")
    found = _seen.get()
    found.append(mask_function)
    masked: torch.Tensor = mask_op(attention_mask, len(found) - 1)
    return masked


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
