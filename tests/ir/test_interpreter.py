"""Running programs: inputs that may be left out, watching, stopping, refusals."""

from __future__ import annotations

import pytest
import torch
from sdllm.ir import FloatWeight, IRError, Program, Tensor, Weight, verify
from sdllm.ir.interpreter import KERNELS, Call, Interpreter

from .samples import World, f32

IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])


def world() -> World:
    """Rotary positions on embeddings."""
    made = World()
    positions = made.input("positions", Tensor("i64", ("B", "S")))
    made.input("mask", Tensor("i64", ("B", "P+S")))
    x = made.one("nn.embed", made.inputs[0], weights=[made.parameter(FloatWeight((9, 4)))])
    h = made.one("nn.permute", made.one("nn.reshape", x, shape=("B", "S", 1, 4)), axes=(0, 2, 1, 3))
    made.one("nn.rope", h, positions, weights=[made.parameter(FloatWeight((2,)))])
    return made


def outputs(inputs: dict, state=None) -> torch.Tensor:
    made = world()
    (y,) = Interpreter(verify(made.finish()), made.store).run(inputs, state).values()
    return y


def test_positions_count_what_is_not_padding() -> None:
    padded = outputs({"ids": IDS, "mask": torch.tensor([[0, 1, 1], [1, 1, 1]])})
    said = outputs({"ids": IDS, "positions": torch.tensor([[0, 0, 1], [0, 1, 2]])})
    assert torch.equal(padded, said)
    assert not torch.equal(padded, outputs({"ids": IDS}))


def test_positions_go_on_from_the_past() -> None:
    made = world()
    run = Interpreter(verify(made.finish()), made.store)
    (whole,) = run.run({"ids": IDS}).values()
    state = run.new_state(2)
    steps = [next(iter(run.run({"ids": IDS[:, i : i + 1]}, state).values())) for i in range(3)]
    assert torch.equal(torch.cat(steps, dim=2), whole)
    assert state.past == 3


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(IRError, match=r"mask has shape \(2, 4\), past and new are \(2, 3\)"):
        outputs({"ids": IDS, "mask": torch.ones(2, 4, dtype=torch.int64)})


def test_watching() -> None:
    made = world()
    program = verify(made.finish())
    seen: list[str] = []
    Interpreter(program, made.store).run({"ids": IDS}, watch=lambda op, a, b: seen.append(op.name))
    assert seen == [op.name for op in program.ops]


def test_an_op_without_a_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from sdllm.ir.interpreter import KERNELS

    made = world()
    monkeypatch.delitem(KERNELS, "nn.rope")
    with pytest.raises(IRError, match=r"no reference kernel for nn\.rope"):
        Interpreter(made.finish(), made.store)


def test_a_weight_that_is_not_there_is_refused() -> None:
    made = World()
    made.weight(Weight("w", FloatWeight((6,)), "ab" * 32))
    made.one("nn.bias", made.value(f32("B", "S", 6)), weights=["w"])
    program: Program = verify(made.finish())
    with pytest.raises(IRError, match="weight @w: no tensor"):
        Interpreter(program, made.store).run(made.inputs_for())


def test_a_kernel_of_ones_own_takes_the_references_place() -> None:
    world = World()
    world.call("nn.scale", f32("B", "S", 6), by=2.0)
    program, inputs = world.finish(), world.inputs_for()
    seen: list[str] = []

    def scale(call: Call) -> tuple[torch.Tensor, ...]:
        seen.append(call.op.name)
        return (KERNELS[call.op.name](call)[0] + 1,)

    (usual,), (own,) = (
        Interpreter(program, world.store, kernels=kernels).run(dict(inputs)).values()
        for kernels in (None, {"nn.scale": scale})
    )
    assert torch.equal(own, usual + 1)
    assert seen == ["nn.scale"]
