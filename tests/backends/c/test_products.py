"""Spiked linear layers: every kernel on every instruction set gives the reference's integers, and one set of floats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sdllm.backends.c.runner import CRunner
from sdllm.backends.conformance.parts import SIGNED, UNSIGNED
from sdllm.compiler.recipes import parse_pipeline
from sdllm.ir import (
    CSD,
    Bits,
    Builder,
    Code,
    DigitRamp,
    GridWeight,
    IRError,
    Loc,
    Program,
    RowWeight,
    Segment,
    Spikes,
    Store,
    Tensor,
)
from sdllm.ir.interpreter import Interpreter
from sdllm.passes import Context, run_pipeline

from ...ir.samples import random_value, random_weight
from ..common import refer
from .common import emit, isas

WIDTH, OUT, TOKENS = 70, 37, 5
QUICK = 96  # inputs in whole groups of 32: what dense and event have a quick way for
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


def products(
    segments: Segments, weights: list[GridWeight | RowWeight] = WEIGHTS, *, centred: bool = False
) -> tuple[Program, Store]:
    """Counts through a linear layer of each kind, some with a bias."""
    b, store = Builder(), Store()
    b.input("ids", Tensor("i64", ("B", "S")))
    n = b.input("n", Spikes(segments, ("B", "S", weights[0].shape[1])))
    v = b.input("v", Tensor("f32", ("B", "S", len(segments))))
    z = b.input("z", Tensor("i32", ("B", "S", len(segments))))
    outputs = {}
    for i, of in enumerate(weights):
        weight = b.weight(store.put(f"w{i}", of, random_weight(of, i)))
        bias = [b.weight(store.put_float(f"b{i}", np.linspace(-1, 1, of.shape[0])))] if i % 2 else []
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


def agree(program: Program, store: Store, inputs: Any, folder: Path) -> None:
    """Every kernel on every instruction set has the reference's membranes and counts, and all have the same floats."""
    want, counts = refer(program, store, inputs)
    integers = membranes(program, store, inputs)
    floats: list[dict[str, Any]] = []
    for kernel in KERNELS:
        emit(program, store, folder / kernel, kernels=kernel)
        for isa in isas(folder / kernel):
            runner = CRunner(folder / kernel, isa=isa)
            seen: dict[str, Any] = {}
            keep = runner.trace(seen.__setitem__)
            got = runner.forward({k: v.numpy() for k, v in inputs.items()})
            del keep
            assert seen.keys() == integers.keys()
            for m, expected in integers.items():
                np.testing.assert_array_equal(
                    seen[m].reshape(TOKENS, -1, seen[m].shape[1])[..., : expected.shape[-1]],
                    expected,
                    err_msg=f"{kernel} {isa} {m}",
                )
            for y, values in want.items():
                np.testing.assert_allclose(got[y], values, rtol=2e-5, atol=2e-5 * np.abs(values).max(), err_msg=y)
            assert list(runner.stats().counts) == counts
            # What is not watched may go a shorter way.
            floats += [got, CRunner(folder / kernel, isa=isa).forward({k: v.numpy() for k, v in inputs.items()})]
    for other in floats[1:]:
        for y in want:
            np.testing.assert_array_equal(other[y], floats[0][y])


@pytest.mark.parametrize("centred", [False, True], ids=["plain", "centred"])
@pytest.mark.parametrize("name", CODES)
def test_linear(name: str, centred: bool, tmp_path: Path) -> None:
    program, store = products(CODES[name], centred=centred)
    rng = np.random.default_rng(7)
    inputs = {v.name: random_value(v.type, rng, {"B": 1, "S": TOKENS, "P": 0}) for v in program.inputs}
    inputs["n"] *= torch.from_numpy(rng.random(inputs["n"].shape) < 0.6)
    agree(program, store, inputs, tmp_path)


# How large counts are, from silent to all at the end of their range; and one that a byte holds.
SIZES = {
    "few": (0.1, 3),
    "usual": (0.8, 8),
    "full chunks": (1.0, 127),
    "beyond a byte": (0.9, 682),
    "rarely beyond a byte": (0.9, 30),
    "all at the end": (1.0, 0),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("code", [Bits(4), CSD(7), CSD(14), DigitRamp(6, 4, 10)], ids=str)
def test_the_quick_ways(code: Code, name: str, tmp_path: Path) -> None:
    """Rows of nibbles in groups of 32: outputs in whole lines of codes, in half ones, and in less."""
    weights: list[GridWeight | RowWeight] = [
        RowWeight(bits, 32, (out, QUICK)) for bits, out in ((4, OUT), (3, 64), (2, 128), (1, 200))
    ]
    program, store = products((Segment(0, QUICK, code),), weights)
    rng = np.random.default_rng(9)
    inputs = {v.name: random_value(v.type, rng, {"B": 1, "S": TOKENS, "P": 0}) for v in program.inputs}
    share, size = SIZES[name]
    n = rng.integers(-size, size + 1, inputs["n"].shape) if size else np.full(inputs["n"].shape, code.hi)
    if name.startswith("rarely"):
        n[..., ::31] = [[code.lo, code.hi, 300, -128]]
    n[:, 1] = np.sign(n[:, 1]) * size  # one sign
    n[:, 2] = 0
    n[:, 3, 32:64] = 0  # a silent cell
    n *= rng.random(n.shape) < share
    inputs["n"] = torch.from_numpy(np.clip(n, code.lo, code.hi).astype(np.int32))
    agree(program, store, inputs, tmp_path)
    text = (tmp_path / "event" / "model.c").read_text()
    assert "{SD_EVENT, 0, true, false, false, true," in text or "{SD_EVENT, 0, true, false, true, true," in text


@pytest.mark.parametrize("code", [CSD(7), DigitRamp(6, 4, 10)], ids=str)
def test_narrow_offsets(code: Code, tmp_path: Path) -> None:
    """Offsets of 8 bits are what they stand for, by the short way and the long one."""
    weights: list[GridWeight | RowWeight] = [RowWeight(bits, 32, (OUT, QUICK)) for bits in (4, 3)]
    program, store = products((Segment(0, QUICK, code),), weights)
    sizes = []
    for name in ("wide", "narrow"):
        emit(program, store, tmp_path / name, kernels="dense")
        sizes.append((tmp_path / name / "weights.bin").stat().st_size)
        if name == "wide":
            program = run_pipeline(program, parse_pipeline("narrow-offsets"), Context(store))
    assert abs(sizes[0] - sizes[1] - 48 * QUICK // 32) < 64  # sections are whole lines
    rng = np.random.default_rng(9)
    inputs = {v.name: random_value(v.type, rng, {"B": 1, "S": TOKENS, "P": 0}) for v in program.inputs}
    inputs["n"][:, 1] = code.hi
    agree(program, store, inputs, tmp_path)
    wrong = replace(program, meta={**program.meta, "narrow_offsets": program.meta["narrow_offsets"] + 1})
    with pytest.raises(IRError, match="is not true of its weights"):
        emit(wrong, store, tmp_path / "wrong", kernels="dense")
