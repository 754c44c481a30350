"""Fast programs: near the reference where something is rounded, equal to it where nothing is."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sdllm.backends.onnx.blocks import block_of, blocks, packed
from sdllm.backends.onnx.runner import MODEL, ONNXRunner
from sdllm.backends.reference import ReferenceBackend
from sdllm.ir import (
    CSD,
    OPS,
    Binary,
    Builder,
    DigitRamp,
    FloatWeight,
    GridWeight,
    IRError,
    RowWeight,
    Segment,
    Store,
    Tensor,
    Ternary,
    dequantize,
)

from ...ir.samples import SAMPLES, World, random_value, random_weight
from ...toys import toy_decoder
from ..common import assert_same, emitted, refer
from ..test_whole_models import ids_of
from .common import emit, operators, run
from .parts import TOKENS, WIDTH, product

# The largest error of a product over the spread of its values, where weights are rounded to bytes or blocks.
NEAR = 0.04


def assert_near(got: Any, want: Any, near: float = NEAR) -> None:
    """Integers exactly; floats but for rounded weights."""
    assert got.keys() == want.keys()
    for name, expected in want.items():
        if expected.dtype.kind == "f":
            spread = float(np.abs(expected).max()) or 1.0
            np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=near * spread, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], expected, err_msg=name)


@pytest.mark.parametrize("name", sorted(OPS))
def test_op(name: str, tmp_path: Path) -> None:
    for variant in range(4):
        choice = random.Random(f"{name} {variant}")
        world = World(lambda variants, choice=choice: choice.choice(list(variants)))
        SAMPLES[name](world)
        program, inputs = world.finish(), world.inputs_for(variant)
        got, counted = run(program, world.store, tmp_path / str(variant), inputs, mode="fast")
        want, expected = refer(program, world.store, inputs)
        assert_near(got, want)
        assert counted == expected


def read(segments: tuple[Segment, ...], of: Any) -> Any:
    """The program of test_products, but for its membranes."""
    program, store = product(segments, of)
    return replace(program, outputs={"y": program.outputs["y"]}), store


@pytest.mark.parametrize("code", [Ternary(7), CSD(9), DigitRamp(6, 4, 10), Binary(200)], ids=str)
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_one_scale_a_row_is_exact(code: Any, bits: int, tmp_path: Path) -> None:
    program, store = read((Segment(0, WIDTH, code),), GridWeight(bits, WIDTH, False, (19, WIDTH)))
    inputs = {v.name: random_value(v.type, np.random.default_rng(1)) for v in program.inputs}
    got, _ = run(program, store, tmp_path, inputs, mode="fast")
    assert_same(got, refer(program, store, inputs)[0])


@pytest.mark.parametrize(
    "of",
    [GridWeight(4, 8, False, (19, WIDTH)), GridWeight(4, 8, True, (19, WIDTH)), RowWeight(4, 8, (19, WIDTH))],
    ids=str,
)
def test_others_are_near(of: Any, tmp_path: Path) -> None:
    for i, segments in enumerate(([(0, WIDTH, CSD(9))], [(0, 13, CSD(5)), (13, WIDTH, Ternary(3))])):
        program, store = read(tuple(Segment(*s) for s in segments), of)
        inputs = {v.name: random_value(v.type, np.random.default_rng(1)) for v in program.inputs}
        got, _ = run(program, store, tmp_path / str(i), inputs, mode="fast")
        assert_near(got, refer(program, store, inputs)[0], 5e-4)


@pytest.mark.parametrize(
    "of",
    [
        FloatWeight((5, 70)),
        GridWeight(4, 32, False, (5, 70)),
        GridWeight(3, 16, True, (5, 70)),
        GridWeight(8, 70, False, (5, 70)),
        GridWeight(7, 64, True, (5, 70)),
        RowWeight(4, 32, (5, 70)),
        RowWeight(6, 128, (5, 70)),
    ],
    ids=str,
)
def test_blocks_hold_the_weight(of: Any) -> None:
    """Codes, scales and offsets say the values of a grid exactly, those of floats to a 254th of their block's range."""
    form = block_of(of)
    assert form is not None
    bits, block = form
    parts = random_weight(of, 0)
    made = blocks(of, parts, bits, block)
    values = made.scales[..., None] * (made.codes.astype(np.float32) - 2 ** (bits - 1))
    values += 0 if made.offsets is None else made.offsets[..., None]
    values = values.reshape(5, -1)[:, :70]
    want = dequantize(of, parts)
    tolerance = np.abs(want).max() / 254 if isinstance(of, FloatWeight) else 1e-4 * np.abs(want).max()
    np.testing.assert_allclose(values, want, atol=tolerance * 1.01)
    again = packed(made.codes, bits)
    assert again.nbytes == made.codes.size * bits // 8
    if bits == 4:
        np.testing.assert_array_equal(np.stack((again & 15, again >> 4), -1).reshape(made.codes.shape), made.codes)


def test_priced_counts_cost_hardly_more(tmp_path: Path) -> None:
    code, price = DigitRamp(6, 4, 10), 0.6
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    x = b.input("x", Tensor("f32", TOKENS))
    n, v = b.op("spike.encode", x, code=code, threshold="mean", factor=0.2, overflow="widen", price=price)
    program, rng = b.program({"n": n, "v": v}), np.random.default_rng(0)
    x = rng.standard_normal((3, 40, WIDTH)).astype(np.float32) ** 3
    inputs = {"ids": torch.zeros(3, 40, dtype=torch.int64), "x": torch.from_numpy(x)}
    got, _ = run(program, Store(), tmp_path, inputs, mode="fast")
    want, _ = refer(program, Store(), inputs)
    np.testing.assert_allclose(got["v"], want["v"], rtol=1e-6)
    cost = [((m["n"] - x / want["v"]) ** 2 + price * code.spikes(m["n"])) for m in (got, want)]
    more = cost[0] - cost[1]
    assert (got["n"] != want["n"]).mean() < 0.05
    assert more.max() < 0.5
    assert more.mean() < 0.005


def test_onnxruntimes_own_operators_are_used_and_decoding_goes_on(tmp_path: Path) -> None:
    model = toy_decoder(code=DigitRamp(6, 4, 10), group=99, bits=8, spiked_attention=True, folded=True)
    reference = emitted(ReferenceBackend(), *model, tmp_path / "reference")
    runner = ONNXRunner(emit(*model, tmp_path / "onnx", mode="fast"))
    used = {kind for domain, kind in operators(tmp_path / "onnx") if domain == "com.microsoft"}
    assert used == {"MatMulIntegerToFloat", "MatMulNBits"}
    ids = ids_of(2, 12)
    states = [r.new_state(2) for r in (reference, runner)]
    for part in (ids[:, :8], ids[:, 8:9], ids[:, 9:]):
        want, got = (r.run(part, s)["logits"] for r, s in zip((reference, runner), states, strict=True))
        assert np.abs(got - want).mean() < 0.1 * np.abs(want).mean()
    assert runner.stats().tokens == reference.stats().tokens
    mine, theirs = (sum(c.spikes for c in r.stats().counts) for r in (runner, reference))
    assert abs(mine - theirs) < 0.02 * theirs
    inputs = {i.name: i.type for i in onnxruntime.InferenceSession(str(tmp_path / "onnx" / MODEL)).get_inputs()}
    assert all(t == "tensor(float)" for name, t in inputs.items() if name.startswith("past_key_values"))


def test_steps_do_not_go_with_fast(tmp_path: Path) -> None:
    with pytest.raises(IRError, match="steps=unrolled goes with mode=exact"):
        emit(*toy_decoder(1), tmp_path, mode="fast", steps="unrolled")
