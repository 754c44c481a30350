"""Every op of the table is documented, runs in the reference interpreter and has a cost."""

from __future__ import annotations

import numpy as np
import pytest
from sdllm.ir import OPS, Work, verify
from sdllm.ir.interpreter import KERNELS, Interpreter
from sdllm.ir.ops import Args

from .samples import DIMS, SAMPLES, World, example, random_value

NAMES = sorted(OPS)


def calls(world: World, name: str):
    return [op for op in world.ops if op.name == name]


def test_every_op_has_an_example() -> None:
    assert set(SAMPLES) == set(OPS)
    assert all(calls(example(name), name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_documented(name: str) -> None:
    definition = OPS[name]
    assert definition.doc.strip()
    assert definition.version >= 1
    for key, spec in definition.attrs.items():
        named = spec.words or (key in definition.doc) or (key.capitalize() in definition.doc)
        assert named, f"{name}: the text does not mention attribute {key}"


@pytest.mark.parametrize("name", NAMES)
def test_cost(name: str) -> None:
    (op, *_) = calls(example(name), name)
    world = example(name)
    args = Args(
        tuple(o.type for o in op.operands),
        tuple(world.weights[w].type for w in op.weights),
        op.attrs,
        world.states[op.state].type if op.state else None,
    )
    results = tuple(r.type for r in op.results)
    once = OPS[name].cost(args, results, DIMS)
    assert isinstance(once, Work)
    twice = OPS[name].cost(args, results, DIMS | {"B": 2 * DIMS["B"]})
    assert (twice.macs, twice.elementwise) == (2 * once.macs, 2 * once.elementwise)


@pytest.mark.parametrize("name", NAMES)
def test_kernel_gives_what_the_types_say(name: str) -> None:
    world = example(name)
    program = verify(world.finish())
    run = Interpreter(program, world.store)
    assert name in KERNELS
    seen = []

    def check(op, operands, results) -> None:
        for result, value in zip(op.results, results, strict=True):
            wanted = random_value(result.type, np.random.default_rng(0))
            assert value.shape == wanted.shape, (op.name, result.type)
            assert value.dtype == wanted.dtype, (op.name, result.type)
            seen.append(op.name)

    run.run(world.inputs_for(), watch=check)
    assert name in seen
