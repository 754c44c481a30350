"""Which configs are understood, and what is said of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sdllm.compiler.energy.hf_config import decoder, read_config

Cli = Callable[..., tuple[int, str, str]]
LLAMA = json.loads((Path(__file__).parent / "configs" / "llama3-8b.json").read_text())


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gpt2", "opt", "gpt_neox", "phi"])
def test_parameters_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    """Those of a model built by transformers from the same config; embeddings, head and norms left out."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = dict(vocab_size=11, hidden_size=24, num_hidden_layers=2, num_attention_heads=4)
    if family in ("llama", "qwen3"):
        sizes |= dict(num_key_value_heads=2, head_dim=8, intermediate_size=40)
    elif family == "qwen2":
        sizes |= dict(num_key_value_heads=2, intermediate_size=40)
    elif family != "gpt2":
        sizes |= dict(ffn_dim=40, word_embed_proj_dim=24) if family == "opt" else dict(intermediate_size=40)
    config = AutoConfig.for_model(family, **sizes)
    config.save_pretrained(tmp_path)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    layers = {n: p for n, p in model.named_parameters() if "layers." in n or ".h." in n}
    matrices = [p for n, p in layers.items() if "norm" not in n and ".ln_" not in n]
    assert read_config(tmp_path).parameters == sum(p.numel() for p in matrices)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "mamba"}, "mamba"),
        ({"model_type": None}, "model_type"),
        ({"num_local_experts": 8}, "mixture of experts"),
        ({"hidden_size": None}, "states no hidden_size or n_embd"),
        ({"hidden_size": "4096"}, "hidden_size is '4096'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_key_value_heads": 7}, "do not share 7"),
        ({"hidden_size": 4097}, "states no head_dim"),
    ],
)
def test_refused_in_one_line(cli: Cli, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**LLAMA, **change}))
    code, told, said = cli("energy", "--config", file)
    assert (code, told, said.count("\n")) == (2, "", 1)
    assert words in said
    assert str(file) in said


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_what_is_no_config(cli: Cli, tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(text.encode("latin-1"))
    assert cli("energy", "--config", file)[0] == 2
    assert cli("energy", "--config", tmp_path / "nothing.json")[0] == 2


@pytest.mark.parametrize(
    "options", [("--spikes", "0"), ("--spikes", "-1"), ("--spikes", "nan"), ("--spikes", "inf"), ("--seq", "0")]
)
def test_numbers_out_of_range(cli: Cli, options: tuple[str, str]) -> None:
    code, _, said = cli("energy", "--config", Path(__file__).parent / "configs" / "llama2-7b.json", *options)
    assert code == 2
    assert options[0] in said


def test_head_dim_may_differ_from_width() -> None:
    found = decoder({**LLAMA, "head_dim": 64}, "here", "it")
    assert (found.width, found.kv_width) == (32 * 64, 8 * 64)
