"""Rotary embeddings whose frequencies change with the length of the input, fixed at one length."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ..errors import InputError


def fix_rope(model: PreTrainedModel, rope_length: int | None) -> None:
    """Make every rotary embedding of `model` independent of its input, in place.

    `longrope` has two sets of frequencies and switches at its original length: the short set is taken, or the one
    for `rope_length`. `dynamic` rescales with length: it takes the frequencies for `rope_length` and raises
    InputError without one. Other types are fixed already.
    """
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        if isinstance(kinds, str):
            module.rope_type = _fix(module, None, kinds, rope_length)
        elif isinstance(kinds, dict):
            module.rope_type = {layer: _fix(module, layer, kind, rope_length) for layer, kind in kinds.items()}


def _fix(module: torch.nn.Module, layer: str | None, kind: str, rope_length: int | None) -> str:
    if kind not in ("dynamic", "longrope"):
        return kind
    if kind == "dynamic" and rope_length is None:
        raise InputError(
            "rope type 'dynamic' rescales positions by the length of each input; "
            "choose the length to compile for with rope_length (--rope-length N)"
        )
    config: Any = module.config
    rope = config.rope_parameters[layer] if layer is not None else config.rope_parameters
    length = rope_length
    if kind == "longrope" and length is None:
        length = rope["original_max_position_embeddings"]
    inv_freq, scaling = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=length, layer_type=layer)
    prefix = f"{layer}_" if layer is not None else ""
    setattr(module, f"{prefix}inv_freq", inv_freq)
    setattr(module, f"{prefix}attention_scaling", scaling)
    return "default"
