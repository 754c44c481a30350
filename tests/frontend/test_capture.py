"""Capture and lowering, beside the families: masks, rope, what is left untouched, errors that explain themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sdllm.compiler.errors import InputError
from sdllm.compiler.frontend import UnsupportedOp, capture, lower
from sdllm.compiler.frontend.coverage import FAMILIES, Family, Subject
from sdllm.compiler.frontend.masks import MaskRule, read_mask
from sdllm.ir import Program, print_program
from torch import nn
from transformers import LlamaConfig, PreTrainedConfig, masking_utils
from transformers.models.bloom.modeling_bloom import BloomAttention
from transformers.models.llama import modeling_llama

FAMILY = {f.name: f for f in FAMILIES}
Prepare = Callable[[Family], Subject]


def llama(**options: Any) -> PreTrainedConfig:
    return Family("", "LlamaForCausalLM", "LlamaConfig", options).build()


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (masking_utils.causal_mask_function, MaskRule(True, 0)),
        (masking_utils.bidirectional_mask_function, MaskRule(False, 0)),
        (masking_utils.sliding_window_causal_mask_function(4096), MaskRule(True, 4096)),
        (masking_utils.sliding_window_causal_mask_function(1), MaskRule(True, 1)),
        (masking_utils.sliding_window_bidirectional_mask_function(64), MaskRule(False, 65)),
    ],
)
def test_masks_are_read_from_their_functions(function: Callable[..., Any], rule: MaskRule) -> None:
    assert read_mask(function) == rule


@pytest.mark.parametrize(
    "function",
    [
        masking_utils.chunked_causal_mask_function(16, torch.zeros(1, dtype=torch.int64)),
        masking_utils.or_masks(masking_utils.causal_mask_function, lambda b, h, q, k: k < torch.tensor(3)),
        masking_utils.padding_mask_function(torch.ones(1, 4)),
    ],
)
def test_other_masks_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="attention mask"):
        read_mask(function)


def test_two_captures_give_the_same_text() -> None:
    config = llama(num_hidden_layers=1)
    assert print_program(lower(capture(config))) == print_program(lower(capture(config)))


def test_nothing_of_the_users_is_changed() -> None:
    config, forward = FAMILY["BLOOM"].build(), BloomAttention.forward
    before = config.to_dict()
    capture(config)
    assert config.to_dict() == before
    assert config._attn_implementation != "sdllm"
    assert BloomAttention.forward is forward


def test_inputs_and_outputs_are_the_same_for_all(subject_of: Prepare) -> None:
    def signature(name: str) -> tuple[list[str], list[str]]:
        program = subject_of(FAMILY[name]).program
        return [f"{v.name} : {v.type}" for v in program.inputs], [f"{k} : {v.type}" for k, v in program.outputs.items()]

    ids, positions = "ids : i64[B,S]", "positions : i64[B,S]"
    causal, whole = "mask : i64[B,P+S]", "mask : i64[B,S]"
    assert signature("Llama") == ([ids, positions, causal], ["logits : f32[B,S,99]"])
    assert signature("BLOOM") == ([ids, positions, causal], ["logits : f32[B,S,99]"])
    assert signature("Llama, without head") == ([ids, positions, causal], ["hidden : f32[B,S,32]"])
    hidden = ["hidden : f32[B,S,32]", "pooled : f32[B,32]"]
    assert signature("BERT, encoder") == ([ids, positions, whole, "types : i64[B,S]"], hidden)


def test_causal_layers_have_state_and_encoders_none(subject_of: Prepare) -> None:
    assert list(subject_of(FAMILY["Llama"]).program.states) == ["kv.0.k", "kv.0.v", "kv.1.k", "kv.1.v"]
    assert not subject_of(FAMILY["BERT, masked LM"]).program.states


def test_tied_weights_are_one_weight(subject_of: Prepare) -> None:
    program = subject_of(FAMILY["Llama, tied, biases"]).program
    assert [op.name for op in program.weight_users()["model.embed_tokens.weight"]] == ["nn.embed", "nn.linear"]
    assert "lm_head.weight" not in program.weights


def test_fused_ops_keep_every_source_line(subject_of: Prepare) -> None:
    program = subject_of(FAMILY["Llama"]).program
    norm = next(op for op in program.ops if op.name == "nn.rms_norm")
    assert norm.loc.module == "model.layers.0.input_layernorm"
    assert len(norm.loc.sources) == 3
    assert all(source.startswith("modeling_llama.py:") for source in norm.loc.sources)


def _frequencies(program: Program) -> set[str]:
    return {program.weights[op.weights[0]].sha256 for op in program.ops if op.name == "nn.rope"}


def test_longrope_is_fixed_at_one_length(subject_of: Prepare) -> None:
    """The short frequencies unless a longer length is asked for."""
    short, long = (subject_of(FAMILY[f"Phi-3, longrope, {kind}"]).program for kind in ("short", "long"))
    assert _frequencies(short) != _frequencies(long)
    assert (short.meta["rope_length"], long.meta["rope_length"]) == (64, 96)
    assert "rope_length" not in subject_of(FAMILY["Llama, rope yarn"]).program.meta


@pytest.mark.parametrize("length", [0, -5])
def test_a_length_to_fix_rope_at_is_positive(length: int) -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        capture(llama(), rope_length=length)


def test_capture_needs_no_weights() -> None:
    """A large model is captured by its config; nothing of its 2 GB is ever made."""
    config = LlamaConfig(num_hidden_layers=1, hidden_size=8192, intermediate_size=28672, num_attention_heads=64)
    config.architectures = ["LlamaForCausalLM"]
    program = lower(capture(config))
    assert program.weights["model.layers.0.mlp.up_proj.weight"].type.shape == (28672, 8192)


class OddMLP(nn.Module):
    """An MLP with an op that no rule knows."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.cumsum(self.up(x), dim=-1)
        return y


def test_an_op_without_a_rule_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modeling_llama, "LlamaMLP", OddMLP)
    with pytest.raises(UnsupportedOp) as caught:
        lower(capture(llama()))
    message = str(caught.value)
    assert message.startswith("no rule lowers aten.cumsum.default at model.layers.1.mlp (test_capture.py:")
    assert "\n" not in message


class OddNorm(nn.Module):
    """RMSNorm, but with the mean over two axes."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.weight * (x * torch.rsqrt(x.pow(2).mean((-1, -2), keepdim=True) + 1e-6))
        return y


def test_the_closest_rule_says_why_it_did_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modeling_llama, "LlamaRMSNorm", OddNorm)
    with pytest.raises(UnsupportedOp, match=r"closest is rule 'rms_norm': .*at aten\.mean\.dim at model\.norm"):
        lower(capture(llama()))


def test_weights_of_another_shape_are_refused(subject_of: Prepare) -> None:
    from dataclasses import replace

    from sdllm.ir import Store

    captured = capture(llama())
    wrong = {name: torch.zeros(3, 3).numpy() for name in captured.exported.state_dict}
    with pytest.raises(InputError, match="shape"):
        lower(replace(captured, tensors=wrong), Store())
