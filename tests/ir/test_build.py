"""Builder and Rewriter: what they make is well-formed, and rewriting nothing changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from sdllm.ir import FloatWeight, IRError, Rewriter, Weight, verify

from .samples import LAWS, World, f32, worlds


@given(worlds())
@settings(max_examples=60, **LAWS)
def test_keeping_every_op_keeps_the_program(world: World) -> None:
    program = world.finish({"family": "llama"})
    rewriter = Rewriter(program)
    for op in program.ops:
        rewriter.keep(op)
    assert rewriter.done() == program


def chain() -> World:
    """x -> scale -> bias -> scale, the bias with a weight."""
    world = World()
    x = world.input("x", f32("B", "S", 6))
    y = world.one("nn.scale", x, by=2.0)
    z = world.one("nn.bias", y, weights=[world.parameter(FloatWeight((6,)))])
    world.one("nn.scale", z, by=3.0)
    return world


def test_replaced_values_are_followed_and_dead_ops_dropped() -> None:
    program = chain().finish()
    first, bias, last = program.ops
    rewriter = Rewriter(program)
    rewriter.replace(bias.result, rewriter.keep(first)[0])
    rewriter.keep(last, by=4.0)
    done = verify(rewriter.done(note=1))
    assert [op.name for op in done.ops] == ["nn.scale", "nn.scale"]
    assert done.ops[1].operands == (first.result,)
    assert done.ops[1].attrs == {"by": 4.0}
    assert done.weights == {}
    assert done.meta == {"note": 1}
    assert program.ops == (first, bias, last)


def test_new_names_are_not_taken_ones() -> None:
    program = chain().finish()
    rewriter = Rewriter(program)
    for op in program.ops:
        (kept,) = rewriter.keep(op)
        rewriter.replace(op.result, rewriter.one("nn.activation", kept, kind="relu"))
    done = verify(rewriter.done())
    names = [op.name for op in done.ops]
    assert names[::2] == ["nn.scale", "nn.bias", "nn.scale"]
    assert names[1::2] == ["nn.activation"] * 3
    assert done.ops[-1].result == done.outputs["out.0"]


def test_one_name_is_one_weight() -> None:
    world = World()
    world.weight(Weight("w", FloatWeight((6,)), "aa"))
    assert world.weight(Weight("w", FloatWeight((6,)), "aa")) == "w"
    with pytest.raises(IRError, match="@w is declared twice"):
        world.weight(Weight("w", FloatWeight((6,)), "bb"))


def test_users_and_producers_agree() -> None:
    program = chain().finish()
    users, producers = program.users(), program.producers()
    assert [op.name for op in users["x"]] == ["nn.scale"]
    for name, readers in users.items():
        assert all(name in [o.name for o in op.operands] for op in readers)
    assert all(r.name in producers for op in program.ops for r in op.results)
    assert [op.name for op in program.weight_users()["layers.0.weight"]] == ["nn.bias"]
