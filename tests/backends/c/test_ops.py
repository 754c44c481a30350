"""Every op of the table gives in C what it gives in the reference interpreter, and costs the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.c.printers import PRINTERS
from sdllm.ir import OPS

from ...ir.samples import SAMPLES, World
from ..common import assert_same, refer
from .common import run

# Stateful neurons have no kernels in C yet.
MISSING = {name for name in OPS if name.startswith("lif.")}
VARIANTS = 3


def test_every_other_op_is_printed() -> None:
    assert set(PRINTERS) == set(OPS) - MISSING


@pytest.mark.parametrize("name", sorted(MISSING))
def test_missing_ops_are_refused_by_name(name: str) -> None:
    world = World()
    SAMPLES[name](world)
    (reason,) = CBackend().supports(world.finish())
    assert name in reason


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize("name", sorted(set(OPS) - MISSING))
def test_op(name: str, variant: int, tmp_path: Path) -> None:
    choice = random.Random(f"{name} {variant}")
    world = World(lambda variants: choice.choice(list(variants)))
    SAMPLES[name](world)
    program = world.finish()
    if any("train<" in str(v.type) for v in program.inputs):
        assert CBackend().supports(program)
        return
    assert CBackend().supports(program) == []
    inputs = world.inputs_for(variant)
    got, counted = run(program, world.store, tmp_path, inputs)
    want, expected = refer(program, world.store, inputs)
    assert_same(got, want)
    assert counted == expected
