"""γ and saturation are what a direct calculation gives, and a finer threshold loses less."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.compiler.fidelity import fidelity
from sdllm.compiler.recipes import parse_pipeline
from sdllm.ir import Program, Store
from sdllm.ir.interpreter import Interpreter
from sdllm.passes import Context, run_pipeline

from ..passes.models import decoder


def made(pipeline: str) -> tuple[Program, Store, np.ndarray]:
    program, store, ids = decoder()
    return run_pipeline(program, parse_pipeline(pipeline), Context(store, ids)), store, ids


@pytest.mark.parametrize(
    "encode",
    [
        "insert-encoders{levels=15}",
        "insert-encoders{levels=15},halve-steps",
        "insert-encoders{code=csd:6,threshold=mean,factor=0.3,attention=false}",
    ],
)
def test_gamma_is_the_relative_error_of_the_output(encode: str) -> None:
    program, store, ids = made(encode)
    found = fidelity(program, store, ids, rows=ids.size)
    seen: dict[str, torch.Tensor] = {}
    Interpreter(program, store).run(
        {"ids": torch.from_numpy(ids)},
        watch=lambda op, operands, results: seen.update(
            {o.name: v for o, v in zip((*op.operands, *op.results), (*operands, *results), strict=True)}
        ),
    )
    makers = program.producers()
    for op in program.ops:
        if op.name != "spike.read_out":
            continue
        linear = makers[op.operands[0].name]
        while linear.name != "spike.linear":
            linear = makers[linear.operands[0].name]
        x = seen[makers[linear.operands[0].name].operands[0].name]
        bias = torch.from_numpy(store.floats(program.weights[op.weights[1]])) if len(op.weights) > 1 else 0.0
        exact = x @ torch.from_numpy(store.floats(program.weights[op.weights[0]])).T
        error = seen[op.result.name] - bias - exact
        gamma = float(error.square().sum() / exact.square().sum())
        assert found[linear.result.name].gamma == pytest.approx(gamma, rel=1e-3)


def test_a_lower_threshold_saturates_more_and_a_wider_one_never() -> None:
    def saturated(options: str) -> float:
        program, store, ids = made(f"insert-encoders{{code=csd:4,threshold=mean,{options}}}")
        return max(f.saturated for f in fidelity(program, store, ids).values())

    assert saturated("factor=0.05") > saturated("factor=0.15") > 0


def test_metrics_have_both_for_every_spiked_product(compiled: Path) -> None:
    layers = json.loads((compiled / "metrics.json").read_text())["layers"]
    assert layers
    assert all(0 <= line["gamma"] < 10 and 0 <= line["saturated"] <= 1 for line in layers)
