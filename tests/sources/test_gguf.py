"""GGUF files: one written on the spot, and a real model of 260 thousand parameters, looked up in SDLLM_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import MODEL_ARCH, GGUFWriter, get_tensor_name_map
from sdllm.compiler.errors import InputError
from sdllm.compiler.frontend import capture, lower
from sdllm.compiler.sources import gguf, open_source
from sdllm.ir import Store
from sdllm.ir.interpreter import Interpreter
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM


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


def write_gguf(model: LlamaForCausalLM, path: Path, leave_out: str = "") -> None:
    """A Llama as llama.cpp writes it: its names, and queries and keys with rotary pairs side by side."""
    config = model.config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    for name, tensor in model.state_dict().items():
        theirs, values = names.get_name(name, (".weight",)), tensor.numpy()
        assert theirs is not None
        for part, count in heads.items():
            if part in theirs:
                values = values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        if theirs != leave_out:
            writer.add_tensor(theirs, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def small() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def test_weights_come_out_as_they_went_in(small: LlamaForCausalLM, tmp_path: Path) -> None:
    write_gguf(small, tmp_path / "small.gguf")
    tensors = open_source(str(tmp_path / "small.gguf")).tensors
    for name, expected in small.state_dict().items():
        np.testing.assert_array_equal(tensors[name], expected.numpy(), err_msg=name)


def test_a_missing_tensor_is_an_error(small: LlamaForCausalLM, tmp_path: Path) -> None:
    """transformers' loader would put random numbers in its place."""
    write_gguf(small, tmp_path / "small.gguf", leave_out="blk.1.ffn_up.weight")
    source = open_source(str(tmp_path / "small.gguf"))
    with pytest.raises(InputError, match=r"1 tensors are missing .*layers\.1\.mlp\.up_proj"):
        source.tensors["model.layers.0.mlp.up_proj.weight"]
