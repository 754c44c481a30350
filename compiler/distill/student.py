"""A fresh student of given sizes, or the ordinary decoder of the same sizes that it is held against."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from ..bispikclm import BiSpikCLMConfig, BiSpikCLMForCausalLM
from .settings import Settings


def fresh(settings: Settings, tokenizer: Any, rows: int) -> Any:
    """A model with random weights from the seed, for `rows` token ids."""
    torch.manual_seed(settings.seed)
    if settings.spikes:
        return BiSpikCLMForCausalLM(_spiking(settings, tokenizer, rows))
    return _ordinary(settings, tokenizer, rows)


def _spiking(s: Settings, tokenizer: Any, rows: int) -> BiSpikCLMConfig:
    return BiSpikCLMConfig(
        vocab_size=rows,
        hidden_size=s.hidden,
        intermediate_size=s.inner,
        num_hidden_layers=s.layers,
        num_attention_heads=s.heads,
        max_position_embeddings=s.length,
        time_steps=s.steps,
        score_threshold=s.score_threshold,
        value_threshold=s.value_threshold,
        spans=s.reach or None,
        style=s.style,
        block_output=s.block_output,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        architectures=["BiSpikCLMForCausalLM"],
    )


def _ordinary(s: Settings, tokenizer: Any, rows: int) -> Any:
    """OPT, or Llama with the same number of matrices as a gated student has; weights as spread as their width asks for,
    since the usual 0.02 suits a width of 768 and lets a small model learn slowly."""
    spread = 0.5 * s.hidden**-0.5
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    sizes = {
        "vocab_size": rows,
        "hidden_size": s.hidden,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "max_position_embeddings": s.length,
        "tie_word_embeddings": False,
        **ends,
    }
    if s.style == "llama":
        return LlamaForCausalLM(LlamaConfig(intermediate_size=s.inner, initializer_range=spread, **sizes))
    return OPTForCausalLM(
        OPTConfig(ffn_dim=s.inner, word_embed_proj_dim=s.hidden, dropout=0.0, init_std=spread, **sizes)
    )
