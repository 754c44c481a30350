"""Students with random weights, whose neurons neither sleep nor always fire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sdllm.compiler.bispikclm import BiSpikCLMConfig, BiSpikCLMForCausalLM
from sdllm.compiler.frontend import capture, lower
from sdllm.compiler.recipes import BISPIKCLM, parse_pipeline
from sdllm.compiler.sources import open_source
from sdllm.ir import Program, Store
from sdllm.passes import Context, run_pipeline

VARIANTS: dict[str, dict[str, Any]] = {
    "opt": {"time_steps": 4, "score_threshold": 2},
    "llama": {"style": "llama", "num_key_value_heads": 2, "time_steps": 2},
    "currents": {"block_output": "currents", "time_steps": 1, "frac": 10, "threshold": 717},
    "spans": {"spans": [[1, 1], [2, 2], [1, 3], [0, 63]], "block_output": "currents"},
}


def student(**options: Any) -> BiSpikCLMForCausalLM:
    """Not rounded to the grid: a checkpoint need not be."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 53, "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64}
    return BiSpikCLMForCausalLM(BiSpikCLMConfig(**{**sizes, **options})).eval()


@pytest.fixture(scope="session", params=VARIANTS)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BiSpikCLMForCausalLM, Path]:
    """A student and its folder."""
    made, folder = student(**VARIANTS[request.param]), tmp_path_factory.mktemp("students") / request.param
    made.save_pretrained(folder)
    return made, folder


@pytest.fixture(scope="session")
def lowered(saved: tuple[BiSpikCLMForCausalLM, Path]) -> tuple[Program, Store]:
    """Its program under its recipe, and weights."""
    store = Store()
    program = lower(capture(open_source(str(saved[1]))), store)
    return run_pipeline(program, parse_pipeline(BISPIKCLM.pipeline), Context(store)), store
