"""Programs whose salient channels have more steps: every backend against the reference."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.interface import Backend
from sdllm.backends.onnx import ONNXBackend
from sdllm.backends.reference import ReferenceBackend
from sdllm.backends.simulator import SimulatorBackend
from sdllm.compiler.recipes import parse_pipeline, recipe
from sdllm.ir import Bits, Program, Store
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
    "weights that spike, ternary": "quantize-weights{group=8,code=gif:2:1:true,salient_code=gif:2:3:true},"
    "insert-encoders{code=bits:16,attention=false}",
    "weights that spike, beside minima": "quantize-weights{group=8,minimum=true,code=gif:4:1,salient_code=gif:4:4},"
    "insert-encoders{code=gif:16:1,salient=gif:16:2,salient_levels=31,attention=false}",
}
RECIPES = {
    "gptq": "spikellm{T=4}",
    "omniquant": "spikellm{pipeline=omniquant,preset=tiny,group=8}",
    "gptq, W3A16": "spikellm{weights=3,activations=16,group=8}",
    "omniquant, W2A16": "spikellm{pipeline=omniquant,preset=tiny,weights=2,activations=16,group=8}",
}
PROGRAMS = {
    **{name: f"allocate-steps{{share=0.2,multiple=8}},{rest}" for name, rest in PIPELINES.items()},
    **{name: recipe(text).pipeline for name, text in RECIPES.items()},
}


@cache
def compiled(pipeline: str) -> tuple[Program, Store]:
    program, store, ids = decoder(1)
    return run_pipeline(program, parse_pipeline(PROGRAMS[pipeline]), Context(store, ids)), store


@pytest.mark.parametrize("backend", [SimulatorBackend(), CBackend(), ONNXBackend()], ids=lambda b: b.name)
@pytest.mark.parametrize("pipeline", PROGRAMS)
def test_same_as_the_reference(pipeline: str, backend: Backend, tmp_path: Path) -> None:
    program, store = compiled(pipeline)
    assert backend.supports(program) == []
    runners = [emitted(b, program, store, tmp_path / b.name) for b in (ReferenceBackend(), backend)]
    states = [r.new_state(2) for r in runners]
    tokens = np.random.default_rng(0).integers(0, ROWS, (2, 7))
    fine = any(isinstance(op.attrs.get("code"), Bits) for op in program.ops)
    for part in (tokens[:, :5], tokens[:, 5:]):
        want, got = (r.run(part, s)["logits"] for r, s in zip(runners, states, strict=True))
        # A float has bits for few ties between 65 536 counts, so that some of them round the other way.
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3) if fine else assert_close(got, want)
    counted = [r.stats().counts for r in runners]
    if not fine:
        assert runners[0].stats() == runners[1].stats()
    for want, got in zip(*counted, strict=True):
        assert (want.op, want.values, want.macs) == (got.op, got.values, got.macs)
        assert got.additions == pytest.approx(want.additions, rel=0.01)
