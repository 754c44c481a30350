"""Folders of safetensors: every parameter under the model's own name, whatever the checkpoint calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sdllm.compiler.errors import InputError
from sdllm.compiler.frontend import capture, lower
from sdllm.compiler.sources import Source, open_source
from sdllm.ir import Store
from transformers import PreTrainedModel

from .conftest import tiny


def same(source: Source, model: PreTrainedModel) -> None:
    """The source has exactly the model's parameters, as float32."""
    state = model.state_dict()
    assert set(source.tensors) == set(state)
    for name, tensor in state.items():
        values = source.tensors[name]
        assert values.dtype == np.float32
        assert source.shape(name) == values.shape == tuple(tensor.shape)
        np.testing.assert_array_equal(values, tensor.float().numpy(), err_msg=name)


def test_single_file(tmp_path: Path) -> None:
    model = tiny("LlamaForCausalLM", "LlamaConfig")
    model.save_pretrained(tmp_path)
    source = open_source(str(tmp_path))
    same(source, model)
    assert source.tokenizer() is None
    assert source.generation["eos_token_id"] == 2
    assert source.canonical("lm_head.weight") == "lm_head.weight"


def test_shards(tmp_path: Path) -> None:
    model = tiny("LlamaForCausalLM", "LlamaConfig")
    model.save_pretrained(tmp_path, max_shard_size="5KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    same(open_source(str(tmp_path)), model)


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    model = tiny("LlamaForCausalLM", "LlamaConfig").to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    same(open_source(str(tmp_path)), model)


@pytest.mark.parametrize("kept", ["model.embed_tokens.weight", "lm_head.weight"])
def test_tied_weights_are_one(tmp_path: Path, kept: str) -> None:
    """Only one of the two names is on disk; either will do, and the program has one weight, used twice."""
    model = tiny("LlamaForCausalLM", "LlamaConfig", tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors[kept] = tensors.pop("model.embed_tokens.weight")
    save_file(tensors, file, metadata={"format": "pt"})
    source = open_source(str(tmp_path))
    same(source, model)
    assert source.canonical("model.embed_tokens.weight") == source.canonical("lm_head.weight") == kept
    users = lower(capture(source), Store()).weight_users()
    assert [op.name for op in users[kept]] == ["nn.embed", "nn.linear"]
    assert len({"model.embed_tokens.weight", "lm_head.weight"} & set(users)) == 1


def test_weights_that_only_the_config_ties_stay_apart(tmp_path: Path) -> None:
    """As transformers does: the checkpoint holds both, and they differ."""
    model = tiny("LlamaForCausalLM", "LlamaConfig")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    source = open_source(str(tmp_path))
    same(source, model)
    assert {"model.embed_tokens.weight", "lm_head.weight"} <= set(lower(capture(source), Store()).weights)


@pytest.mark.parametrize(
    ("architecture", "config", "prefix", "options"),
    [
        ("GPT2LMHeadModel", "GPT2Config", "transformer.", {"n_embd": 16, "n_head": 2, "n_layer": 2}),
        ("BertForMaskedLM", "BertConfig", "bert.", {}),
    ],
)
def test_base_model_prefix_may_be_missing(
    tmp_path: Path, architecture: str, config: str, prefix: str, options: dict[str, int]
) -> None:
    """GPT-2's own checkpoint says `h.0…`, not `transformer.h.0…`."""
    model = tiny(architecture, config, **options)
    model.save_pretrained(tmp_path)
    _rename(tmp_path, lambda name: name.removeprefix(prefix))
    same(open_source(str(tmp_path)), model)


def test_base_model_prefix_may_be_too_much(tmp_path: Path) -> None:
    """A bare encoder from a checkpoint that was saved with a head."""
    tiny("BertForMaskedLM", "BertConfig").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    tensors = load_file(tmp_path / "model.safetensors")
    assert not any(name.startswith("bert.pooler") for name in tensors)
    model = tiny("BertModel", "BertConfig")
    tensors |= {f"bert.{k}": v for k, v in model.state_dict().items() if k.startswith("pooler")}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    source = open_source(str(tmp_path))
    name = "encoder.layer.0.attention.self.query.weight"
    np.testing.assert_array_equal(source.tensors[name], tensors[f"bert.{name}"].numpy())


def test_gamma_and_beta(tmp_path: Path) -> None:
    """Old BERT checkpoints call a LayerNorm's weight and bias gamma and beta."""
    model = tiny("BertForMaskedLM", "BertConfig")
    model.save_pretrained(tmp_path)

    def old(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    _rename(tmp_path, old)
    same(open_source(str(tmp_path)), model)


def _rename(folder: Path, new: object) -> None:
    assert callable(new)
    file = folder / "model.safetensors"
    save_file({new(k): v for k, v in load_file(file).items()}, file, metadata={"format": "pt"})


def test_tensors_without_a_place_are_told(tmp_path: Path) -> None:
    """A bias the config says nothing of is one; frequencies that models compute themselves are not."""
    tiny("LlamaForCausalLM", "LlamaConfig").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    extra = ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.rotary_emb.inv_freq"]
    save_file(load_file(file) | dict.fromkeys(extra[:1], torch.ones(16)) | {extra[1]: torch.ones(4)}, file)
    assert open_source(str(tmp_path)).unused == (extra[0],)


def test_provenance(llama: Path, tmp_path: Path) -> None:
    source = open_source(str(llama))
    found = source.provenance
    assert found["kind"] == "folder"
    assert set(found["files"]) == {"config.json", "model.safetensors"}
    assert all(len(sha) == 64 for sha in found["files"].values())
    assert found["licence"] is None


def test_licence_comes_from_the_model_card(tmp_path: Path) -> None:
    tiny("LlamaForCausalLM", "LlamaConfig").save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
    assert open_source(str(tmp_path)).provenance["licence"] == "apache-2.0"


def test_remote_code_runs_only_if_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class is used, and the provenance says so."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    model = tiny("LlamaForCausalLM", "LlamaConfig")
    model.save_pretrained(folder)
    code = "from transformers import LlamaForCausalLM\n\n\nclass Special(LlamaForCausalLM):\n    pass\n"
    (folder / "modeling_special.py").write_text(code)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_special.Special"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="auto_map"):
        open_source(str(folder))
    source = open_source(str(folder), trust_remote_code=True)
    assert type(source.skeleton).__name__ == "Special"
    assert source.provenance["remote_code"] is True
    same(source, model)
    assert lower(capture(source), Store()).meta["architecture"] == "Special"
