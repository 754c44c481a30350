"""GGUF files: a real model of 260 thousand parameters, looked up in SDLLM_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.compiler.frontend import capture, lower
from sdllm.compiler.sources import gguf, open_source
from sdllm.ir import Store
from sdllm.ir.interpreter import Interpreter
from tokenizers import pre_tokenizers


@pytest.fixture
def stories() -> Path:
    """stories260K.gguf, whose padding_token_id is 0xFFFFFFFF."""
    path = Path(os.environ.get("SDLLM_DATA", "")) / "models" / "stories260K.gguf"
    if "SDLLM_DATA" not in os.environ or not path.exists():
        pytest.skip("SDLLM_DATA does not name a folder with models/stories260K.gguf")
    return path


def test_it_writes_english(stories: Path) -> None:
    source = open_source(str(stories))
    store = Store()
    program = lower(capture(source), store)
    tokenizer = source.tokenizer()
    assert tokenizer is not None
    ids = torch.tensor([tokenizer("Once upon a time").input_ids])
    interpreter = Interpreter(program, store)
    state, words = interpreter.new_state(), ids[0].tolist()
    for _ in range(30):
        logits = interpreter.run({"ids": ids}, state)["logits"]
        ids = logits[:, -1:].argmax(-1)
        words.append(int(ids))
    assert "little girl named Lily" in tokenizer.decode(words)


def test_what_is_known_of_it(stories: Path) -> None:
    source = open_source(str(stories))
    assert source.config.pad_token_id is None
    assert source.generation["eos_token_id"] == 2
    assert source.provenance["kind"] == "gguf"
    assert source.provenance["files"][stories.name].startswith("270cba1bd5109f42")
    values = source.tensors["model.layers.0.mlp.up_proj.weight"]
    assert values.dtype == np.float32
    assert values.shape == source.shape("model.layers.0.mlp.up_proj.weight")


def test_a_folder_with_one_gguf(stories: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(stories)
    assert open_source(str(tmp_path)).config.vocab_size == 512


def test_smollm_splits_digits(stories: Path) -> None:
    tokenizer = gguf.load_tokenizer(stories, {"tokenizer.ggml.pre": "smollm"})
    splitter = tokenizer.backend_tokenizer.pre_tokenizer
    assert isinstance(splitter, pre_tokenizers.Sequence)
    assert [piece for piece, _ in splitter.pre_tokenize_str("in 2023")] == ["in", "Ġ", "2", "0", "2", "3"]
