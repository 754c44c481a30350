"""Spiked products: the same integers event by event, step by step and in one product of counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.backends.conformance.parts import SIGNED, UNSIGNED
from sdllm.backends.simulator.kernels import events
from sdllm.backends.simulator.kernels.count import Count
from sdllm.backends.simulator.kernels.events import drive
from sdllm.ir import (
    CSD,
    GIF,
    Builder,
    Code,
    Ints,
    Ramp,
    Segment,
    Spikes,
    Store,
    Tensor,
    Ternary,
)

from ..ir.samples import random_counts
from .common import assert_same, refer, simulate


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
