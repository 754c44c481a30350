"""Families that need a hand: attention that bypasses the interface, positions that do not start at 0."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from transformers import PreTrainedModel
from transformers.models.bloom.modeling_bloom import BloomAttention

from ..errors import InputError
from .attention import attend_op

Forward = Callable[..., Any]


def bloom_attention(
    self: Any,
    hidden_states: torch.Tensor,
    residual: torch.Tensor,
    alibi: torch.Tensor,
    attention_mask: torch.Tensor,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """BLOOM's attention by our op, which computes ALiBi itself from the mask."""
    q, k, v = self._reshape(self.query_key_value(hidden_states))
    out = attend_op(q, k, v, attention_mask, float(self.inv_norm_factor), 0.0, True)
    return residual + self.dense(out.transpose(1, 2).flatten(2)), None


# Attention classes that do not call the attention interface, and what stands in for their forward.
ADAPTERS: dict[type[Any], Forward] = {BloomAttention: bloom_attention}


def in_spikes(model: PreTrainedModel) -> bool:
    """Whether a model's attention is made of our spike ops already (a student of BiSpikCLM), causal by definition."""
    return bool(getattr(model, "attention_in_spikes", False))


def check_attention(model: PreTrainedModel) -> None:
    """Raises InputError for a model whose attention bypasses transformers' interface and has no adapter here."""
    if in_spikes(model):
        return
    kind = model.config.model_type
    attentions = [type(m) for m in model.modules() if "Attention" in type(m).__name__]
    if not attentions:
        raise InputError(f"{kind}: has no attention layers; only transformers with attention are supported")
    if not model._can_set_attn_implementation() and not any(issubclass(a, tuple(ADAPTERS)) for a in attentions):
        raise InputError(
            f"{kind}: its attention ({attentions[0].__name__}) does not go through transformers' attention interface "
            "and there is no adapter for it; not supported"
        )


@contextlib.contextmanager
def adapted(model: PreTrainedModel) -> Iterator[None]:
    """Within it, `model` captures as the others do; afterwards everything is as it was."""
    with contextlib.ExitStack() as stack:
        for attention, forward in ADAPTERS.items():
            stack.enter_context(mock.patch.object(attention, "forward", forward))
        offset = position_offset(model)
        if offset:
            hook = model.register_forward_pre_hook(_shift(offset), with_kwargs=True)
            stack.callback(hook.remove)
        yield


def position_offset(model: PreTrainedModel) -> int:
    """What RoBERTa and its kin add to 0-based positions: they count from padding_idx + 1."""
    for module in model.modules():
        if hasattr(module, "create_position_ids_from_input_ids") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def _shift(offset: int) -> Forward:
    def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "position_ids": kwargs["position_ids"] + offset}

    return hook
