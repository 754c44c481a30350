"""Sizes of a decoder from its Hugging Face config.json alone; no weight and no transformers needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

GATED = (
    "llama", "mistral", "ministral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo", "olmo2",
    "granite", "smollm3", "stablelm", "helium",
)  # fmt: skip
PLAIN = ("gpt2", "opt", "gpt_neox", "phi", "starcoder2")

# Names a size goes by, the usual first.
_NAMES = {
    "hidden": ("hidden_size", "n_embd"),
    "inner": ("intermediate_size", "ffn_dim", "n_inner"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "vocabulary": ("vocab_size",),
}


@dataclass(frozen=True, slots=True)
class Biases:
    """Which matrices have a bias: q, k and v; o; those of the MLP."""

    qkv: bool
    out: bool
    mlp: bool


@dataclass(frozen=True, slots=True)
class Decoder:
    """Sizes of a decoder; `gated` where the MLP has gate and up beside down, otherwise it is two matrices."""

    name: str
    gated: bool
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    biased: Biases

    @property
    def width(self) -> int:
        """Channels of all query heads: d_attn."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Channels of all key (or value) heads."""
        return self.kv_heads * self.head_dim

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of each matrix of one layer: q, k, v, o, then the MLP's."""
        attention = ((self.hidden, self.width), *((self.hidden, self.kv_width),) * 2, (self.width, self.hidden))
        up = ((self.hidden, self.inner),) * (2 if self.gated else 1)
        return (*attention, *up, (self.inner, self.hidden))

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers' matrices, without embeddings and head."""
        matrices = list(self.matrices)
        biased = [self.biased.qkv] * 3 + [self.biased.out] + [self.biased.mlp] * (len(matrices) - 4)
        return self.layers * sum((i + b) * o for (i, o), b in zip(matrices, biased, strict=True))


def read_config(path: Path) -> Decoder:
    """The decoder of a config.json, or of the folder that holds one. Raises InputError."""
    file = path / "config.json" if path.is_dir() else path
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); give a model's config.json") from error
    except ValueError as error:
        raise InputError(f"{file}: is not JSON ({error}); give a model's config.json") from error
    if not isinstance(raw, dict):
        raise InputError(f"{file}: is not a config; give a model's config.json")
    name = file.stem if file.stem != "config" else file.resolve().parent.name
    return decoder(raw, str(file), name)


def decoder(raw: Mapping[str, Any], where: str, name: str) -> Decoder:
    """The sizes a config states. Raises InputError for other families, experts, and sizes that are missing or odd."""
    family = raw.get("model_type")
    if family not in (*GATED, *PLAIN):
        known = ", ".join((*GATED, *PLAIN))
        raise InputError(f"{where}: model_type '{family}' has no rule for its parameters (known: {known})")
    experts = [k for k, v in raw.items() if "expert" in k and isinstance(v, int) and v > 1]
    if experts:
        raise InputError(f"{where}: a mixture of experts ({experts[0]}) has no rule for its parameters")
    hidden, layers, heads = (_size(raw, name, where) for name in ("hidden", "layers", "heads"))
    inner = _size(raw, "inner", where, 4 * hidden if family == "gpt2" else None)
    head_dim = _size(raw, "head_dim", where, hidden // heads if hidden % heads == 0 else None)
    kv_heads = _size(raw, "kv_heads", where, heads)
    if heads % kv_heads:
        raise InputError(f"{where}: {heads} heads do not share {kv_heads} key and value heads evenly")
    vocabulary = _size(raw, "vocabulary", where)
    gated = family in GATED
    return Decoder(
        name, gated, hidden, inner, layers, heads, kv_heads, head_dim, vocabulary, _biases(raw, str(family), gated)
    )


def _biases(raw: Mapping[str, Any], family: str, gated: bool) -> Biases:
    """Plain families have biases unless their config says no, gated ones where it says yes; Qwen2's are in its code."""
    if not gated:
        everywhere = bool(raw.get("enable_bias", raw.get("use_bias", True)))
        attention = everywhere and bool(raw.get("attention_bias", True))
        return Biases(attention, attention, everywhere)
    attention = bool(raw.get("attention_bias", False))
    qkv = attention or family == "qwen2" or bool(raw.get("use_qkv_bias", False))
    return Biases(qkv, attention, bool(raw.get("mlp_bias", False)))


def _size(raw: Mapping[str, Any], name: str, where: str, default: int | None = None) -> int:
    """A size by any of its names; null counts as not given."""
    key, value = next(((k, raw[k]) for k in _NAMES[name] if raw.get(k) is not None), (_NAMES[name][0], default))
    if value is None:
        raise InputError(f"{where}: states no {' or '.join(_NAMES[name])}; add it")
    if type(value) is not int or value < 1:
        raise InputError(f"{where}: {key} is {value!r}; it must be a whole number of at least 1")
    return value
