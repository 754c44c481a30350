"""Input that cannot or should not be compiled: one line that says what, where and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sdllm.compiler.errors import InputError
from sdllm.compiler.sources import open_source

from .conftest import tiny

Broken = Callable[..., Path]


def refuse(path: Path | str, *words: str, read: bool = False) -> None:
    """Opening (or reading all of) `path` fails with one line that has these words."""

    def attempt() -> None:
        source = open_source(str(path))
        if read:
            assert dict(source.tensors)

    with pytest.raises(InputError) as caught:
        attempt()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def test_no_such_folder() -> None:
    refuse("./nowhere", "./nowhere", "no such file")


def test_hub_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("sdllm.compiler.sources.hub.snapshot_download", unreachable)
    refuse("someone/some-model", "someone/some-model", "network")


def test_other_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    refuse(tmp_path / "notes.txt", "neither a .gguf file nor a folder")


def test_no_config(tmp_path: Path) -> None:
    refuse(tmp_path, "config.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "llama'])
def test_corrupt_config(broken: Broken, text: str) -> None:
    folder = broken()
    (folder / "config.json").write_text(text)
    refuse(folder, "config.json", "download it again")


def test_corrupt_index(broken: Broken) -> None:
    folder = broken()
    (folder / "model.safetensors.index.json").write_text("{nonsense")
    refuse(folder, "model.safetensors.index.json", "JSON")


def test_unknown_model_type(broken: Broken) -> None:
    refuse(broken(model_type="lama"), "'lama'", "nearest: llama")


def test_no_model_type(broken: Broken) -> None:
    refuse(broken(model_type=None), "model_type")


@pytest.mark.parametrize("name", ["LlamaForPoetry", "LlamaForSequenceClassification"])
def test_unsupported_architecture(broken: Broken, name: str) -> None:
    refuse(broken(architectures=[name]), name)


def test_missing_architecture_means_the_usual_one(broken: Broken) -> None:
    assert type(open_source(str(broken(architectures=None))).skeleton).__name__ == "LlamaForCausalLM"


def test_remote_code(broken: Broken) -> None:
    refuse(broken(auto_map={"AutoModelForCausalLM": "modeling.Model"}), "auto_map", "--trust-remote-code")


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes"])
def test_already_quantised(broken: Broken, method: str) -> None:
    refuse(broken(quantization_config={"quant_method": method, "bits": 4}), method, "already quantised")


def test_experts(tmp_path: Path) -> None:
    tiny("MixtralForCausalLM", "MixtralConfig", num_local_experts=4).save_pretrained(tmp_path)
    refuse(tmp_path, "4 experts", "num_local_experts")


def test_inconsistent_config(broken: Broken) -> None:
    refuse(broken(num_attention_heads=3), "config")


def test_no_weights(broken: Broken) -> None:
    folder = broken()
    (folder / "model.safetensors").unlink()
    refuse(folder, "no weights")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickles_are_never_opened(broken: Broken, name: str) -> None:
    folder = broken()
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    refuse(folder, name, "never opened")
    refuse(folder / name, name, "never opened")


def test_missing_shard(tmp_path: Path) -> None:
    tiny("LlamaForCausalLM", "LlamaConfig").save_pretrained(tmp_path, max_shard_size="5KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    refuse(tmp_path, "1 of", shard.name)


@pytest.mark.parametrize("size", [0, 4, 100, -10])
def test_truncated_weights(broken: Broken, size: int) -> None:
    folder = broken()
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:size])
    refuse(folder, "model.safetensors", "download it again")


def test_missing_tensor(broken: Broken) -> None:
    def lose(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["model.layers.1.mlp.up_proj.weight"]

    refuse(weights(broken(), lose), "model.layers.1.mlp.up_proj.weight", "missing")


def test_wrong_shape(broken: Broken) -> None:
    refuse(broken(intermediate_size=32), "[24, 16]", "[32, 16]")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(broken: Broken, bad: float) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"][3] = bad

    refuse(weights(broken(), spoil), "model.norm.weight", "NaN or Inf", read=True)


def test_corrupt_index_names_no_files(broken: Broken) -> None:
    folder = broken()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}}))
    refuse(folder, "weight_map")


def test_damaged_gguf(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + bytes(64))
    refuse(file, "GGUF")
    file.write_bytes(b"not a model")
    refuse(tmp_path, "GGUF")


def test_two_ggufs(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    refuse(tmp_path, "a.gguf, b.gguf")
