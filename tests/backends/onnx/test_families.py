"""Every family the frontend takes, as ONNX: dense, what transformers computes; spiked, what the reference computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sdllm.backends.onnx.runner import ONNXRunner
from sdllm.compiler.frontend.coverage import FAMILIES, Family, Subject, prepare
from sdllm.compiler.frontend.coverage.parity import BOUND, difference, program_outputs
from sdllm.compiler.recipes import parse_pipeline, recipe
from sdllm.ir.interpreter import Interpreter
from sdllm.passes import Context, run_pipeline

from .common import emit

pytestmark = pytest.mark.slow
# Mean difference over mean size. Counts on a rounding tie fall differently where sums are added in another order, and
# what comes after in that sequence sees it; a wrong program is as far off as another model.
FAR = 0.02


class Emitted:
    """An ONNX runner that takes and gives tensors, as the interpreter does."""

    def __init__(self, subject: Subject, out: Path) -> None:
        self.runner = ONNXRunner(emit(subject.program, subject.store, out), stats=False)

    def new_state(self, batch: int) -> Any:
        return self.runner.new_state(batch)

    def run(self, inputs: dict[str, torch.Tensor], state: Any = None) -> dict[str, torch.Tensor]:
        arrays = {name: value.numpy() for name, value in inputs.items()}
        return {name: torch.from_numpy(made.copy()) for name, made in self.runner.forward(arrays, state).items()}


@pytest.fixture(params=FAMILIES, ids=lambda f: f.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    family: Family = request.param
    return prepare(family)


def test_dense_equals_the_source(subject: Subject, tmp_path: Path) -> None:
    emitted: Any = Emitted(subject, tmp_path)
    for item, expected in subject.expected:
        error, _ = difference(expected, program_outputs(subject, emitted, item), item.mask)
        assert error <= BOUND, item.name


def test_spiked_equals_the_reference(subject: Subject, tmp_path: Path) -> None:
    words = np.random.default_rng(0).integers(4, 97, (8, 32))
    program = run_pipeline(subject.program, parse_pipeline(recipe("sdllm").pipeline), Context(subject.store, words))
    spiked = replace(subject, program=program)
    emitted: Any = Emitted(spiked, tmp_path)
    interpreter = Interpreter(program, subject.store)
    off: list[torch.Tensor] = []
    size: list[torch.Tensor] = []
    for item, _ in spiked.expected:
        want, got = (program_outputs(spiked, runner, item) for runner in (interpreter, emitted))
        for name, value in want.items():
            off.append((got[name] - value).abs().flatten())
            size.append(value.abs().flatten())
    assert torch.cat(off).mean() < FAR * torch.cat(size).mean()
