"""Every op of the table, code, grid and mask: integers as the reference has them, by standard operators alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from sdllm.backends.conformance.parts import SIGNED, UNSIGNED, WEIGHTS, WIDTH
from sdllm.backends.onnx.integers import digits_needed, weight_digits
from sdllm.backends.onnx.printers import PRINTERS
from sdllm.ir import CSD, OPS, Builder, Code, DigitRamp, Segment, Store, Tensor

from ...ir.samples import SAMPLES, World, random_value
from ..common import assert_same, refer
from .common import EXACT, emit, operators, run
from .parts import ACTIVATIONS, TOKENS, WAYS, masked, masked_inputs, product

HERE = "ai.sdllm"


def test_every_op_has_a_form() -> None:
    assert set(PRINTERS) == set(OPS)


@pytest.mark.parametrize("steps", EXACT)
@pytest.mark.parametrize("name", sorted(OPS))
def test_op(name: str, steps: str, tmp_path: Path) -> None:
    for variant in range(4):
        choice = random.Random(f"{name} {variant}")
        world = World(lambda variants, choice=choice: choice.choice(list(variants)))
        SAMPLES[name](world)
        program, inputs = world.finish(), world.inputs_for(variant)
        out = tmp_path / str(variant)
        got, counted = run(program, world.store, out, inputs, **EXACT[steps])
        want, expected = refer(program, world.store, inputs)
        assert_same(got, want)
        assert counted == expected
        assert {kind for domain, kind in operators(out) if not domain} <= STANDARD
        assert {domain for domain, _ in operators(out)} <= {"", HERE}


STANDARD = {s.name for s in onnx.defs.get_all_schemas() if s.domain == ""}


@pytest.mark.parametrize("steps", EXACT)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_every_code_on_every_weight(weight: str, steps: str, tmp_path: Path) -> None:
    """Membranes, centred membranes, sums and outputs of one code for all channels, and of two."""
    pairs = list(zip(SIGNED, [*SIGNED[3:], *SIGNED[:3]], strict=True))[:: 1 if weight == "grouped" else 3]
    choices: list[tuple[Segment, ...]] = [(Segment(0, WIDTH, code),) for code in (*SIGNED, *UNSIGNED)]
    choices += [(Segment(0, 13, a), Segment(13, WIDTH, b)) for a, b in pairs]
    for i, segments in enumerate(choices):
        program, store = product(segments, WEIGHTS[weight])
        rng = np.random.default_rng(i)
        inputs = {v.name: random_value(v.type, rng) for v in program.inputs}
        got, counted = run(program, store, tmp_path / str(i), inputs, **EXACT[steps])
        want, expected = refer(program, store, inputs)
        assert_same(got, want)
        assert counted == expected


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_masks(way: dict[str, Any], tmp_path: Path) -> None:
    b, mask = masked()
    q = b.input("q", Tensor("f32", ("B", 6, "S", 4)))
    k, v = (b.input(name, Tensor("f32", ("B", 2, "P+S", 4))) for name in "kv")
    scores = b.input("scores", Tensor("f32", ("B", 6, "S", "P+S")))
    attended = b.one("nn.attend", q, k, v, mask, scale=0.5, **way)
    program = b.program({"attended": attended, "weights": b.one("nn.softmax", scores, mask, **way)})
    inputs = masked_inputs(program)
    assert_same(run(program, Store(), tmp_path, inputs)[0], refer(program, Store(), inputs)[0])


def test_activations(tmp_path: Path) -> None:
    for kind in ACTIVATIONS:
        world = World()
        x = SAMPLES["nn.add"](world)[0]  # type: ignore[index]
        world.one("nn.activation", world.one("nn.scale", x, by=30.0), kind=kind)
        program, inputs = world.finish(), world.inputs_for()
        assert_same(run(program, world.store, tmp_path / kind, inputs)[0], refer(program, world.store, inputs)[0])


@pytest.mark.parametrize("price", [0.0, 0.3, 2.0, 60.0])
@pytest.mark.parametrize("code", [CSD(5), DigitRamp(3, 2, 5), CSD(14)], ids=str)
def test_priced_encoders(code: Code, price: float, tmp_path: Path) -> None:
    """Counts from a table of edges, or, where gaps differ much, by binary search; on edges, beyond them, at zero."""
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    n, _ = b.op("spike.encode", b.input("x", Tensor("f32", TOKENS)), code=code, threshold="static", price=price)
    edges = code.priced(code.hi, price)[0] if price else np.arange(20) - 9.5
    rng = np.random.default_rng(0)
    x = np.concatenate((edges, np.nextafter(edges, np.float32(9e9)), rng.normal(size=99) * 9, [0.0, 1e30, -1e30]))
    x = np.resize(x.astype(np.float32), (len(x) // WIDTH + 1, WIDTH))[None]
    inputs = {"ids": torch.zeros(x.shape[:2], dtype=torch.int64), "x": torch.from_numpy(x)}
    program = b.program({"n": n})
    assert_same(run(program, Store(), tmp_path, inputs)[0], refer(program, Store(), inputs)[0])


def test_digits_say_the_number() -> None:
    for low, high in ((-64, 63), (-8, 7), (-128, 127), (-8192, 8191), (-(2**15), 2**15 - 1), (0, 36592)):
        w = np.random.default_rng(0).integers(low, high + 1, (3, 50), dtype=np.int32)
        w[0, :2] = low, high
        count = digits_needed(low, high)
        made = weight_digits(w, count)
        assert made.min() >= -64
        assert made.max() <= 63
        parts = np.split(made.astype(np.int64), count, axis=-1)
        np.testing.assert_array_equal(sum(part * 128**k for k, part in enumerate(parts)), w)


def test_a_train_too_long_to_write_down_is_refused(tmp_path: Path) -> None:
    from sdllm.ir import IRError

    program, store = product((Segment(0, WIDTH, CSD(20)),), WEIGHTS["grouped"])
    emit(program, store, tmp_path)
    with pytest.raises(IRError, match=r"spike\.linear at model\.proj: trains of csd\{T=20\} .* steps=folded"):
        emit(program, store, tmp_path, steps="unrolled")
