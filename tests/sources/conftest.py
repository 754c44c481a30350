"""Tiny checkpoints on disk, as transformers writes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def tiny(architecture: str, config: str, **options: Any) -> PreTrainedModel:
    """A random model of that architecture."""
    torch.manual_seed(0)
    made: PreTrainedModel = getattr(transformers, architecture)(getattr(transformers, config)(**{**SMALL, **options}))
    return made.eval()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good folder, not to be written to."""
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(LlamaConfig(**SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture
def broken(llama: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the good folder with fields of its config replaced (None: removed)."""

    def copy(**fields: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(llama, folder)
        file = folder / "config.json"
        config = {**json.loads(file.read_text()), **fields}
        file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        return folder

    return copy
