"""Rotary embeddings whose frequencies change with the length of the input, fixed at one length."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ..errors import InputError


def fix_rope(model: PreTrainedModel, rope_length: int | None) -> int | None:
    """Make every rotary embedding of `model` independent of its input, in place.

    `longrope` has two sets of frequencies and switches at its original length: the short set is taken, or the one
    for `rope_length`. `dynamic` rescales with length: it takes the frequencies for `rope_length` and raises
    InputError without one. Other types are fixed already. Gives the length they were fixed at, None if none was.
    """
    if rope_length is not None and rope_length < 1:
        raise InputError(f"rope_length {rope_length}: must be at least 1")
    fixed: list[int] = []
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        by_layer: dict[str | None, str] = kinds if isinstance(kinds, dict) else {None: kinds} if kinds else {}
        changing = {layer: kind for layer, kind in by_layer.items() if kind in ("dynamic", "longrope")}
        if changing:
            fixed += [_fix(module, layer, kind, rope_length) for layer, kind in changing.items()]
            settled = {layer: "default" if layer in changing else kind for layer, kind in by_layer.items()}
            module.rope_type = settled if isinstance(kinds, dict) else settled[None]
    return max(fixed, default=None)


def _fix(module: torch.nn.Module, layer: str | None, kind: str, rope_length: int | None) -> int:
    """Set frequencies and scaling of one rotary embedding and give the length they are for."""
    if kind == "dynamic" and rope_length is None:
        raise InputError(
            "rope type 'dynamic' rescales positions by the length of each input; "
            "choose the length to compile for with rope_length (--rope-length N)"
        )
    config: Any = module.config
    rope = config.rope_parameters[layer] if layer is not None else config.rope_parameters
    length = int(rope_length or rope["original_max_position_embeddings"])
    inv_freq, scaling = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=length, layer_type=layer)
    prefix = f"{layer}_" if layer is not None else ""
    setattr(module, f"{prefix}inv_freq", inv_freq)
    setattr(module, f"{prefix}attention_scaling", scaling)
    return length
