"""Spiked products: the same integers event by event, step by step and in one product of counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.backends.simulator.kernels import events
from sdllm.backends.simulator.kernels.count import Count
from sdllm.backends.simulator.kernels.events import drive
from sdllm.ir import (
    CODES,
    CSD,
    GIF,
    Binary,
    Bits,
    Builder,
    Code,
    DigitRamp,
    FloatWeight,
    GridWeight,
    Ints,
    Loc,
    Ramp,
    RowWeight,
    Segment,
    SignedBits,
    Spikes,
    Store,
    Tensor,
    Ternary,
)

from ..ir.samples import random_counts, random_value, random_weight
from .common import assert_same, refer, simulate

SIGNED = [
    Ternary(7), Ternary(60), CSD(7), SignedBits(6), Ramp(4, 2), Ramp(16, 2), DigitRamp(3, 2, 5), GIF(4, 3, True),
]  # fmt: skip
UNSIGNED = [Binary(15), Bits(8), GIF(16, 1), GIF(16, 3)]
WIDTH, OUT = 22, 19
TOKENS = ("B", "S", WIDTH)
WEIGHTS: dict[str, GridWeight | RowWeight] = {
    "per channel": GridWeight(8, WIDTH, False, (OUT, WIDTH)),
    "grouped": GridWeight(4, 8, False, (OUT, WIDTH)),
    "with minima": GridWeight(4, 8, True, (OUT, WIDTH)),
    "rows on one scale": RowWeight(4, 8, (OUT, WIDTH)),
}


def test_every_code_is_here() -> None:
    assert {type(code) for code in SIGNED + UNSIGNED} == set(CODES.values())


def product(segments: tuple[Segment, ...], of: GridWeight | RowWeight | FloatWeight) -> tuple[Any, Store]:
    """ids and counts to membranes, sums (less zero points) and outputs."""
    b, store = Builder(), Store()
    b.input("ids", Tensor("i64", ("B", "S")))
    n = b.input("n", Spikes(segments, TOKENS))
    v = b.input("v", Tensor("f32", ("B", "S", len(segments))))
    z = b.input("z", Tensor("i32", ("B", "S", len(segments))))
    weight = b.weight(store.put("w", of, random_weight(of, 1)))
    bias = b.weight(store.put_float("b", np.linspace(-1, 1, OUT)))
    m = b.one("spike.linear", n, weights=[weight], loc=Loc("model.proj"))
    centred = b.one("spike.center", m, z, weights=[weight])
    sums = b.one("spike.sum", n, z, weights=[weight])
    extra = [sums] if isinstance(of, GridWeight) and of.minimum else []
    y = b.one("spike.read_out", centred, v, *extra, weights=[weight, bias])
    return b.program({"m": m, "centred": centred, "sums": sums, "y": y}), store


def check(segments: tuple[Segment, ...], of: GridWeight | RowWeight | FloatWeight, out: Path) -> None:
    program, store = product(segments, of)
    rng = np.random.default_rng(7)
    inputs = {v.name: random_value(v.type, rng) for v in program.inputs}
    got, counted = simulate(program, store, out, inputs)
    want, expected = refer(program, store, inputs)
    assert_same(got, want)
    assert counted == expected
    assert counted[0].additions == counted[0].spikes * OUT > 0
    if isinstance(of, GridWeight):
        assert_same(got, refer(program, store, inputs, in_time=True)[0])


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("code", SIGNED + UNSIGNED, ids=str)
def test_linear(code: Code, weight: str, tmp_path: Path) -> None:
    check((Segment(0, WIDTH, code),), WEIGHTS[weight], tmp_path)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("pair", [(CSD(5), Ternary(3)), (Bits(4), GIF(16, 2)), (Ramp(4, 2), SignedBits(2))], ids=str)
def test_segments(pair: tuple[Code, Code], weight: str, tmp_path: Path) -> None:
    """Segments whose edge falls within a weight group, and whose codes have different numbers of steps."""
    check((Segment(0, 13, pair[0]), Segment(13, WIDTH, pair[1])), WEIGHTS[weight], tmp_path)


def test_float_weight(tmp_path: Path) -> None:
    check((Segment(0, WIDTH, Ternary(7)),), FloatWeight((OUT, WIDTH)), tmp_path)


@pytest.mark.parametrize("grid", ["offset", "asymmetric"])
@pytest.mark.parametrize("code", UNSIGNED, ids=str)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_encoded_grids(weight: str, code: Code, grid: str, tmp_path: Path) -> None:
    """From floats through an unsigned grid: zero points found, applied and read out."""
    b, store = Builder(), Store()
    b.input("ids", Tensor("i64", ("B", "S")))
    x = b.input("x", Tensor("f32", TOKENS))
    name = b.weight(store.put("w", WEIGHTS[weight], random_weight(WEIGHTS[weight], 2)))
    n, v, z = b.op("spike.encode", x, code=code, grid=grid)
    m = b.one("spike.center", b.one("spike.linear", n, weights=[name]), z, weights=[name])
    sums = [b.one("spike.sum", n, z, weights=[name])] if "minima" in WEIGHTS[weight].forms else []
    y = b.one("spike.read_out", m, v, *sums, weights=[name])
    program = b.program({"n": n, "v": v, "z": z, "m": m, "y": y})
    rng = np.random.default_rng(3)
    inputs = {value.name: random_value(value.type, rng) for value in program.inputs}
    got, counted = simulate(program, store, tmp_path, inputs)
    want, expected = refer(program, store, inputs)
    assert_same(got, want)
    assert counted == expected


@pytest.mark.parametrize("new", [1, 5])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("code", SIGNED, ids=str)
def test_matmul(code: Code, transpose: bool, new: int, tmp_path: Path) -> None:
    """Heads that share keys, one new token (a narrow fan-out) and several (a wide one)."""
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    keys = Spikes((Segment(0, 6, code),), ("B", 2, "P+S", 6))
    a = b.input("a", Ints(8, True, ("B", 8, "S", 6 if transpose else "P+S")))
    m = b.one("spike.matmul", a, b.input("n", keys), transpose=transpose)
    program, rng = b.program({"m": m}), np.random.default_rng(5)
    # The program has no state, so all tokens are new.
    inputs = {value.name: random_value(value.type, rng, {"B": 2, "S": new, "P": 0}) for value in program.inputs}
    got, counted = simulate(program, Store(), tmp_path, inputs)
    want, expected = refer(program, Store(), inputs)
    assert_same(got, want)
    assert_same(got, refer(program, Store(), inputs, in_time=True)[0])
    assert counted == expected
    assert counted[0].additions == counted[0].spikes * new * 4


@settings(derandomize=True, deadline=None, database=None, max_examples=80)
@given(data=st.data())
def test_events_add_up(data: st.DataObject) -> None:
    """Any code, width, planes and fan-out: the membrane is the product of counts and weights, each spike one column."""
    code = data.draw(st.sampled_from(SIGNED + UNSIGNED))
    width = data.draw(st.integers(1, 150))
    cuts = data.draw(st.sets(st.integers(1, width), max_size=4))
    starts = (0, *sorted(cuts - {width}))
    out, tokens = data.draw(st.sampled_from([1, 3, events.NARROW, 40])), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    columns = rng.integers(-128, 128, (width, out)).astype(data.draw(st.sampled_from([np.int8, np.int16])))
    n = random_counts(Spikes((Segment(0, width, code),), (tokens, width)), (tokens, width), rng).astype(np.int32)
    n *= rng.random(n.shape) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    count = Count("", "", "")
    membrane = drive(n, code, columns, starts, count)
    planes = [slice(a, b) for a, b in zip(starts, (*starts[1:], width), strict=True)]
    want = np.stack([n[:, p] @ columns[p].astype(np.int64) for p in planes], axis=1)
    assert membrane.dtype == np.int32
    np.testing.assert_array_equal(membrane, want)
    spikes = int(code.spikes(n).sum())
    assert (count.spikes, sum(count.steps), count.additions) == (spikes, spikes, spikes * out)


@pytest.mark.parametrize("code", [GIF(4, 1, True), GIF(8, 1, True), GIF(16, 1, True), Ternary(1)], ids=str)
def test_long_sums_do_not_overflow(code: Code) -> None:
    """The most that narrow sums must hold: full counts of either sign on weights at the other end."""
    signs = np.where(np.arange(128) % 2 == 0, 1, -1)
    n = (signs * code.hi).astype(np.int32).reshape(1, 128)
    columns = np.repeat(np.where(signs > 0, -128, 127).astype(np.int8)[:, None], 40, axis=1)
    assert (drive(n, code, columns, (0,), Count("", "", "")) == code.hi * 64 * (-128 - 127)).all()


@pytest.mark.parametrize("room", [1, 500, 10**6])
@pytest.mark.parametrize("code", [Ternary(7), CSD(7), Ramp(8, 2)], ids=str)
def test_any_room_gives_the_same(code: Code, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and time steps taken in turns: same membranes, same counts."""
    rng = np.random.default_rng(11)
    n = rng.integers(code.lo, code.hi + 1, (5, 40)).astype(np.int32)
    columns = rng.integers(-8, 8, (40, 24)).astype(np.int8)
    whole = Count("", "", "")
    want = drive(n, code, columns, (0, 20), whole)
    monkeypatch.setattr(events, "ROOM", room)
    parts = Count("", "", "")
    np.testing.assert_array_equal(drive(n, code, columns, (0, 20), parts), want)
    assert vars(parts) == vars(whole)


def test_the_membrane_wraps_as_the_reference_does(tmp_path: Path) -> None:
    """What leaves 32 bits wraps around, in both."""
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    a = b.input("a", Ints(16, True, ("B", 1, "S", 4)))
    m = b.one("spike.matmul", a, b.input("n", Spikes((Segment(0, 4, CSD(20)),), ("B", 1, 3, 4))), transpose=True)
    program = b.program({"m": m})
    inputs = {
        "ids": torch.zeros(1, 2, dtype=torch.int64),
        "a": torch.full((1, 1, 2, 4), 2**15 - 1, dtype=torch.int32),
        "n": torch.full((1, 1, 3, 4), CSD(20).hi, dtype=torch.int32),
    }
    want = refer(program, Store(), inputs)[0]
    assert (2**15 - 1) * CSD(20).hi * 4 != int(want["m"].flat[0])
    assert_same(simulate(program, Store(), tmp_path, inputs)[0], want)


@pytest.mark.parametrize(
    "rule", [{"price": 0.3}, {"overflow": "widen"}, {"price": 2.0, "overflow": "widen", "levels": 9}], ids=str
)
@pytest.mark.parametrize("code", [CSD(5), DigitRamp(3, 2, 5)], ids=str)
def test_priced_and_widened_encoders(code: Code, rule: dict[str, Any], tmp_path: Path) -> None:
    """Counts chosen by rate and distortion, and tokens with outliers, come out alike."""
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    x = b.input("x", Tensor("f32", TOKENS))
    n, v = b.op("spike.encode", x, code=code, threshold="mean", factor=0.25, **rule)
    rng = np.random.default_rng(4)
    values = rng.normal(size=(2, 3, WIDTH)).astype(np.float32)
    values[0, 1, 2] = 90.0
    inputs = {"ids": torch.zeros(2, 3, dtype=torch.int64), "x": torch.from_numpy(values)}
    program = b.program({"n": n, "v": v})
    got, _ = simulate(program, Store(), tmp_path, inputs)
    want, _ = refer(program, Store(), inputs)
    assert_same(got, want)
    top = rule.get("levels", code.hi)
    assert np.abs(got["n"]).max() <= top
    lost = np.abs(got["n"] * got["v"] - values)[0, 1, 2]
    assert (lost <= got["v"][0, 1, 0]) == (rule.get("overflow") == "widen")
