"""Spiked linear layers: every kernel on every instruction set gives the reference's integers, and one set of floats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sdllm.backends.c.runner import CRunner
from sdllm.ir import CSD, Bits, Builder, Code, GridWeight, Loc, Program, RowWeight, Segment, Spikes, Store, Tensor
from sdllm.ir.interpreter import Interpreter

from ...ir.samples import random_value, random_weight
from ..common import refer
from ..test_products import SIGNED, UNSIGNED
from .common import emit, isas

WIDTH, OUT, TOKENS = 70, 37, 5
WEIGHTS: list[GridWeight | RowWeight] = [
    GridWeight(8, WIDTH, False, (OUT, WIDTH)),
    GridWeight(4, 32, False, (OUT, WIDTH)),
    GridWeight(3, 8, True, (OUT, WIDTH)),
    GridWeight(7, 16, True, (OUT, WIDTH)),
    GridWeight(2, 5, False, (OUT, WIDTH)),
    RowWeight(4, 32, (OUT, WIDTH)),
    RowWeight(6, 9, (OUT, WIDTH)),
]
Segments = tuple[Segment, ...]
KERNELS = ("dense", "event", "add")


def whole(code: Code) -> Segments:
    return (Segment(0, WIDTH, code),)


CODES: dict[str, Segments] = {
    **{str(code): whole(code) for code in SIGNED + UNSIGNED},
    "wide": whole(CSD(12)),
    "too wide for 16 bits": whole(CSD(17)),
    "two segments": (Segment(0, 43, CSD(5)), Segment(43, WIDTH, SIGNED[5])),
    "two unsigned segments": (Segment(0, 3, Bits(4)), Segment(3, WIDTH, UNSIGNED[0])),
}


def products(segments: Segments, *, centred: bool) -> tuple[Program, Store]:
    """Counts through a linear layer of each kind, some with a bias."""
    b, store = Builder(), Store()
    b.input("ids", Tensor("i64", ("B", "S")))
    n = b.input("n", Spikes(segments, ("B", "S", WIDTH)))
    v = b.input("v", Tensor("f32", ("B", "S", len(segments))))
    z = b.input("z", Tensor("i32", ("B", "S", len(segments))))
    outputs = {}
    for i, of in enumerate(WEIGHTS):
        weight = b.weight(store.put(f"w{i}", of, random_weight(of, i)))
        bias = [b.weight(store.put_float(f"b{i}", np.linspace(-1, 1, OUT)))] if i % 2 else []
        m = b.one("spike.linear", n, weights=[weight], loc=Loc(f"model.layers.{i}.proj"))
        zero = [z] if centred else []
        m = b.one("spike.center", m, z, weights=[weight]) if centred else m
        sums = [b.one("spike.sum", n, *zero, weights=[weight])] if "minima" in of.forms else []
        outputs[f"y{i}"] = b.one("spike.read_out", m, v, *sums, weights=[weight, *bias])
    return b.program(outputs), store


def membranes(program: Program, store: Store, inputs: Any) -> dict[str, Any]:
    """The last membrane of each linear layer, [S, planes, out], under the name of the first."""
    found: dict[str, Any] = {}
    first: dict[str, str] = {}

    def watch(op: Any, operands: Any, results: Any) -> None:
        if op.name in ("spike.linear", "spike.center"):
            name = first.get(op.operands[0].name, op.result.name)
            first[op.result.name] = name
            found[name] = results[0][0].numpy()

    Interpreter(program, store).run(inputs, watch=watch)
    return found


@pytest.mark.parametrize("centred", [False, True], ids=["plain", "centred"])
@pytest.mark.parametrize("name", CODES)
def test_linear(name: str, centred: bool, tmp_path: Path) -> None:
    program, store = products(CODES[name], centred=centred)
    rng = np.random.default_rng(7)
    inputs = {v.name: random_value(v.type, rng, {"B": 1, "S": TOKENS, "P": 0}) for v in program.inputs}
    inputs["n"] *= torch.from_numpy(rng.random(inputs["n"].shape) < 0.6)
    want, counts = refer(program, store, inputs)
    integers = membranes(program, store, inputs)
    floats: list[dict[str, Any]] = []
    for kernel in KERNELS:
        folder = emit(program, store, tmp_path / kernel, kernels=kernel)
        for isa in isas(folder):
            runner = CRunner(folder, isa=isa)
            seen: dict[str, Any] = {}
            keep = runner.trace(seen.__setitem__)
            got = runner.forward({k: v.numpy() for k, v in inputs.items()})
            del keep
            assert seen.keys() == integers.keys()
            for m, expected in integers.items():
                np.testing.assert_array_equal(
                    seen[m].reshape(TOKENS, -1, seen[m].shape[1])[..., :OUT], expected, err_msg=f"{kernel} {isa} {m}"
                )
            for y, values in want.items():
                np.testing.assert_allclose(got[y], values, rtol=2e-5, atol=2e-5 * np.abs(values).max(), err_msg=y)
            assert list(runner.stats().counts) == counts
            floats.append(got)
    for other in floats[1:]:
        for y in want:
            np.testing.assert_array_equal(other[y], floats[0][y])


@pytest.mark.parametrize("code", [Bits(4), SIGNED[0], SIGNED[-1], CSD(7), CSD(12), CSD(14)], ids=str)
def test_rows_of_whole_groups_take_a_shorter_way_to_the_same_floats(code: Code, tmp_path: Path) -> None:
    width, of = 96, RowWeight(4, 32, (OUT, 96))
    b, store = Builder(), Store()
    b.input("ids", Tensor("i64", ("B", "S")))
    n = b.input("n", Spikes((Segment(0, width, code),), ("B", "S", width)))
    v = b.input("v", Tensor("f32", ("B", "S", 1)))
    weight = b.weight(store.put("w", of, random_weight(of, 3)))
    m = b.one("spike.linear", n, weights=[weight], loc=Loc("model.layers.0.proj"))
    program = b.program({"y": b.one("spike.read_out", m, v, weights=[weight])})
    rng = np.random.default_rng(11)
    inputs = {x.name: random_value(x.type, rng, {"B": 1, "S": TOKENS, "P": 0}).numpy() for x in program.inputs}
    inputs["n"][0, :3, :32] = code.hi  # sums of counts as large as they get
    inputs["n"][0, 3:] = np.clip(inputs["n"][0, 3:], -100, 100)
    found = []
    for kernel in KERNELS:
        folder = emit(program, store, tmp_path / kernel, kernels=kernel)
        for isa in isas(folder):
            runner = CRunner(folder, isa=isa)
            found.append(runner.forward(inputs)["y"])
            keep = runner.trace(lambda *_: None)  # what is watched goes the long way
            found.append(runner.forward(inputs)["y"])
            del keep
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
