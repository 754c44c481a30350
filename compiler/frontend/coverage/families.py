"""The families that are checked, each as a tiny config that makes its attributes matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import transformers
from transformers import PreTrainedConfig

WINDOW, ORIGINAL, LONGEST = 8, 64, 96
LENGTHS = (1, 2, 17, LONGEST)

# Fields of nearly every config. Big epsilons, so that leaving one out would be seen.
SMALL: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rms_norm_eps": 0.05,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "layer_norm_epsilon": 0.05}


@dataclass(frozen=True)
class Family:
    """One row: a config class with its options, the architecture, and the lengths to compare at.

    `rope_length` is what the capture is told.
    """

    name: str
    architecture: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    lengths: tuple[int, ...] = LENGTHS
    rope_length: int | None = None

    def build(self) -> PreTrainedConfig:
        """The tiny config."""
        return _build(self.config, self.architecture, self.options)


@dataclass(frozen=True)
class Refused:
    """A family that is refused, and a word its message must have."""

    name: str
    architecture: str
    config: str
    says: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> PreTrainedConfig:
        """The tiny config."""
        return _build(self.config, self.architecture, self.options)


def _build(config: str, architecture: str, options: Mapping[str, Any]) -> PreTrainedConfig:
    made: PreTrainedConfig = getattr(transformers, config)(**{**SMALL, **options})
    made.architectures = [architecture]
    return made


def _causal(name: str, stem: str, *, config: str | None = None, **options: Any) -> Family:
    return Family(name, f"{stem}ForCausalLM", config or f"{stem}Config", options)


def _scaled(name: str, lengths: tuple[int, ...], rope_length: int | None = None, **rope: Any) -> Family:
    """Llama with scaled rotary positions."""
    options = {"rope_parameters": {"rope_theta": 1e4, **rope}, "max_position_embeddings": ORIGINAL}
    return Family(name, "LlamaForCausalLM", "LlamaConfig", options, lengths, rope_length)


def _longrope(name: str, lengths: tuple[int, ...], rope_length: int | None = None) -> Family:
    options = {
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0, 1.1, 1.3, 1.6],
            "long_factor": [1.5, 2.0, 3.0, 5.0],
            "original_max_position_embeddings": ORIGINAL,
        },
        "original_max_position_embeddings": ORIGINAL,
        "max_position_embeddings": 4 * ORIGINAL,
    }
    return Family(name, "Phi3ForCausalLM", "Phi3Config", options, lengths, rope_length)


_MIXED = ["sliding_attention", "full_attention"]

FAMILIES: tuple[Family, ...] = (
    _causal("Llama", "Llama"),
    _causal("Llama, tied, biases", "Llama", tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    _scaled("Llama, rope linear", LENGTHS, rope_type="linear", factor=2.5),
    _scaled("Llama, rope llama3", LENGTHS, rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32),
    _scaled("Llama, rope yarn", LENGTHS, rope_type="yarn", factor=4.0, original_max_position_embeddings=32),
    _scaled("Llama, rope dynamic, fixed at 96", (LONGEST,), LONGEST, rope_type="dynamic", factor=2.0),
    _causal("Mistral", "Mistral", sliding_window=WINDOW),
    _causal("Qwen2", "Qwen2"),
    _causal("Qwen2, mixed windows", "Qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
    _causal("Qwen3", "Qwen3", head_dim=8),
    _causal("Gemma", "Gemma", head_dim=8),
    _causal("Gemma 2", "Gemma2", head_dim=8, sliding_window=WINDOW, query_pre_attn_scalar=12,
            attn_logit_softcapping=2.0, final_logit_softcapping=3.0, layer_types=_MIXED),
    _causal("Gemma 3 (text)", "Gemma3", config="Gemma3TextConfig", head_dim=8, sliding_window=WINDOW,
            query_pre_attn_scalar=12, layer_types=_MIXED),
    _causal("Phi", "Phi", layer_norm_eps=0.05, partial_rotary_factor=0.5),
    _causal("Phi-3", "Phi3", sliding_window=WINDOW),
    _longrope("Phi-3, longrope, short", (1, 2, 17, ORIGINAL)),
    _longrope("Phi-3, longrope, long", (LONGEST,), LONGEST),
    Family("GPT-2", "GPT2LMHeadModel", "GPT2Config", {**GPT, "scale_attn_by_inverse_layer_idx": True}),
    _causal("OPT", "OPT", ffn_dim=48, word_embed_proj_dim=32),
    _causal("OPT, post-norm, projected", "OPT", ffn_dim=48, word_embed_proj_dim=24, do_layer_norm_before=False),
    _causal("GPT-NeoX", "GPTNeoX", layer_norm_eps=0.05, rotary_pct=0.5),
    _causal("GPT-NeoX, sequential", "GPTNeoX", layer_norm_eps=0.05, rotary_pct=0.5, use_parallel_residual=False),
    _causal("BLOOM", "Bloom", n_layer=2, n_head=4, layer_norm_epsilon=0.05),
    _causal("BLOOM, 6 heads", "Bloom", n_layer=2, n_head=6, hidden_size=48, layer_norm_epsilon=0.05),
    _causal("OLMo 2", "Olmo2"),
    _causal("StableLM", "StableLm", layer_norm_eps=0.05, partial_rotary_factor=0.5, use_qkv_bias=True),
    _causal("StableLM, qk norm, parallel", "StableLm", layer_norm_eps=0.05, partial_rotary_factor=0.5,
            qk_layernorm=True, use_parallel_residual=True),
    _causal("Granite", "Granite", embedding_multiplier=1.5, residual_multiplier=0.6, attention_multiplier=0.4,
            logits_scaling=1.7),
    _causal("SmolLM3", "SmolLM3", no_rope_layers=[1, 0]),
    _causal("Cohere", "Cohere", layer_norm_eps=0.05, logit_scale=0.3),
    _causal("Cohere, qk norm", "Cohere", layer_norm_eps=0.05, logit_scale=0.3, use_qk_norm=True),
    _causal("OLMo", "Olmo"),
    _causal("OLMo 3", "Olmo3", sliding_window=WINDOW, layer_types=_MIXED),
    _causal("StarCoder 2", "Starcoder2", norm_epsilon=0.05, sliding_window=WINDOW),
    _causal("Nemotron", "Nemotron", norm_eps=0.05, partial_rotary_factor=0.5),
    _causal("GLM", "Glm", head_dim=8, partial_rotary_factor=0.5),
    _causal("GLM-4", "Glm4", head_dim=8, partial_rotary_factor=0.5),
    _causal("Helium", "Helium", head_dim=8),
    _causal("Arcee", "Arcee"),
    _causal("EXAONE 4", "Exaone4", sliding_window=WINDOW, layer_types=_MIXED),
    _causal("ERNIE 4.5", "Ernie4_5"),
    _causal("Seed-OSS", "SeedOss", head_dim=8),
    _causal("Cohere 2", "Cohere2", layer_norm_eps=0.05, logit_scale=0.3, sliding_window=WINDOW, layer_types=_MIXED),
    _causal("Ministral", "Ministral", head_dim=8, sliding_window=WINDOW, layer_types=_MIXED),
    Family("GPT-BigCode", "GPTBigCodeForCausalLM", "GPTBigCodeConfig", GPT),
    _causal("BioGPT", "BioGpt", layer_norm_eps=0.05),
    Family("BERT, encoder", "BertModel", "BertConfig", {"layer_norm_eps": 0.05}),
    Family("BERT, masked LM", "BertForMaskedLM", "BertConfig", {"layer_norm_eps": 0.05}),
    Family("RoBERTa, masked LM", "RobertaForMaskedLM", "RobertaConfig",
           {"layer_norm_eps": 0.05, "pad_token_id": 3, "type_vocab_size": 1}),
    Family("XLM-RoBERTa, masked LM", "XLMRobertaForMaskedLM", "XLMRobertaConfig",
           {"layer_norm_eps": 0.05, "pad_token_id": 1, "type_vocab_size": 1}),
    Family("DistilBERT, masked LM", "DistilBertForMaskedLM", "DistilBertConfig",
           {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4}),
    Family("ELECTRA, masked LM", "ElectraForMaskedLM", "ElectraConfig", {"embedding_size": 24, "layer_norm_eps": 0.05}),
    Family("ALBERT, masked LM", "AlbertForMaskedLM", "AlbertConfig", {"embedding_size": 16, "layer_norm_eps": 0.05}),
    Family("ModernBERT, masked LM", "ModernBertForMaskedLM", "ModernBertConfig",
           {"local_attention": 2 * WINDOW, "norm_eps": 0.05, "global_attn_every_n_layers": 2}),
    Family("Llama, without head", "LlamaModel", "LlamaConfig"),
)  # fmt: skip

_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}

REFUSED: tuple[Refused, ...] = (
    Refused("Mixtral", "MixtralForCausalLM", "MixtralConfig", "experts", _EXPERTS),
    Refused("Qwen2-MoE", "Qwen2MoeForCausalLM", "Qwen2MoeConfig", "experts", _EXPERTS),
    Refused("Llama, rope dynamic", "LlamaForCausalLM", "LlamaConfig", "rope_length",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}),
    Refused("T5", "T5ForConditionalGeneration", "T5Config", "encoder"),
    Refused("Falcon", "FalconForCausalLM", "FalconConfig", "attention"),
    Refused("MPT", "MptForCausalLM", "MptConfig", "attention", {"d_model": 32, "n_heads": 4, "n_layers": 2}),
    Refused("Mamba", "MambaForCausalLM", "MambaConfig", "attention"),
    Refused("BERT, classifier", "BertForSequenceClassification", "BertConfig", "not supported"),
)  # fmt: skip
