"""Every op of the table gives in the simulator what it gives in the reference interpreter, and costs the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sdllm.backends.counting import DRIVEN
from sdllm.backends.simulator.printers import PRINTERS
from sdllm.ir import OPS

from ..ir.samples import SAMPLES, World
from .common import assert_same, refer, simulate

VARIANTS = 5


def test_every_op_is_printed() -> None:
    assert set(PRINTERS) == set(OPS)


@pytest.mark.parametrize("variant", range(VARIANTS))
@pytest.mark.parametrize("name", sorted(OPS))
def test_op(name: str, variant: int, tmp_path: Path) -> None:
    choice = random.Random(f"{name} {variant}")
    world = World(lambda variants: choice.choice(list(variants)))
    SAMPLES[name](world)
    program = world.finish()
    assert any(op.name == name for op in program.ops)
    inputs = world.inputs_for(variant)
    got, counted = simulate(program, world.store, tmp_path, inputs)
    want, expected = refer(program, world.store, inputs)
    assert_same(got, want)
    assert counted == expected
    assert len(counted) == sum(op.name in DRIVEN for op in program.ops)


ACTIVATIONS = next(iter(OPS["nn.activation"].attrs.values())).words


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activation(kind: str, tmp_path: Path) -> None:
    world = World()
    x = SAMPLES["nn.add"](world)[0]
    world.one("nn.activation", world.one("nn.scale", x, by=30.0), kind=kind)
    program = world.finish()
    inputs = world.inputs_for()
    assert_same(simulate(program, world.store, tmp_path, inputs)[0], refer(program, world.store, inputs)[0])
