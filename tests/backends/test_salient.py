"""Programs whose salient channels have more steps: every backend against the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.interface import Backend
from sdllm.backends.reference import ReferenceBackend
from sdllm.backends.simulator import SimulatorBackend
from sdllm.compiler.recipes import parse_pipeline
from sdllm.passes import Context, run_pipeline

from ..passes.models import ROWS, decoder
from .common import emitted
from .test_whole_models import assert_close

PIPELINES = {
    "symmetric, saturating": "quantize-weights{group=8},insert-encoders{code=gif:8:1:true,salient=gif:8:2:true,"
    "salient_levels=15,attention_code=gif:8:1:true,attention_salient=gif:8:2:true}",
    "asymmetric, a step more, minima": "quantize-weights{group=8,minimum=true},insert-encoders{code=gif:16:1,"
    "salient=gif:16:3,salient_levels=31,attention=false}",
    "eight bits": "quantize-weights{bits=2},insert-encoders{code=gif:256:1,salient=gif:256:2,salient_levels=511,"
    "attention_code=gif:128:1:true}",
}


@pytest.mark.parametrize("backend", [SimulatorBackend(), CBackend()], ids=lambda b: b.name)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_same_as_the_reference(pipeline: str, backend: Backend, tmp_path: Path) -> None:
    program, store, ids = decoder(1)
    passes = parse_pipeline(f"allocate-steps{{share=0.2}},{PIPELINES[pipeline]}")
    program = run_pipeline(program, passes, Context(store, ids))
    assert backend.supports(program) == []
    runners = [emitted(b, program, store, tmp_path / b.name) for b in (ReferenceBackend(), backend)]
    states = [r.new_state(2) for r in runners]
    tokens = np.random.default_rng(0).integers(0, ROWS, (2, 7))
    for part in (tokens[:, :5], tokens[:, 5:]):
        want, got = (r.run(part, s)["logits"] for r, s in zip(runners, states, strict=True))
        assert_close(got, want)
    assert runners[0].stats() == runners[1].stats()
