"""Offsets in 8 bits: what moves, by how much, and that what is narrow stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.ir import Builder, Program, RowWeight, Store, Tensor
from sdllm.passes import Context, PassError, run_pipeline
from sdllm.passes.narrow_offsets import NarrowOffsets

OF = RowWeight(4, 32, (6, 96))


def rows(seed: int, most: int) -> tuple[Program, Store]:
    """One matrix whose offsets lie about the middle of its codes, at most so far from it."""
    random, build, store = np.random.default_rng(seed), Builder(), Store()
    steps = random.integers(1, 256, (6, 3)).astype(np.uint8)
    about = random.integers(-most, most, (6, 3), endpoint=True)
    parts = {
        "codes": random.integers(0, 16, OF.shape).astype(np.int8),
        "steps": steps,
        "offsets": (about - 8 * steps.astype(np.int64)).astype(np.int16),
        "scales": np.ones((6, 1), np.float32),
    }
    ids = build.input("ids", Tensor("i64", ("B", "S")))
    x = build.one("nn.embed", ids, weights=[build.weight(store.put_float("table", np.eye(96, dtype=np.float32)))])
    y = build.one("nn.linear", x, weights=[build.weight(store.put("w", OF, parts))])
    return build.program({"logits": y}), store


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.one_of(st.integers(0, 600), st.integers(0, 16000)))
def test_offsets_move_by_half_a_unit_at_most_and_then_stay(seed: int, most: int) -> None:
    program, store = rows(seed, most)
    context = Context(store)
    after = run_pipeline(program, [NarrowOffsets()], context)
    before, parts = store.get(program.weights["w"]), store.get(after.weights["w"])
    for name in ("codes", "steps", "scales"):
        np.testing.assert_array_equal(before[name], parts[name])
    unit = next(int(note.text.split()[5]) for note in context.notes)
    assert after.meta["narrow_offsets"] == unit.bit_length() - 1
    about = parts["offsets"].astype(int) + 8 * parts["steps"].astype(int)
    assert unit == 1 or np.abs(before["offsets"].astype(int) + 8 * before["steps"].astype(int)).max() >= 63 * unit
    assert not np.any(about % unit)
    assert np.abs(about // unit).max() <= 128
    assert (about // unit).max() <= 127
    assert np.abs(parts["offsets"].astype(int) - before["offsets"]).max() <= unit // 2
    again = run_pipeline(after, [NarrowOffsets()], Context(store))
    np.testing.assert_array_equal(store.get(again.weights["w"])["offsets"], parts["offsets"])


def test_offsets_at_the_end_of_16_bits_are_refused() -> None:
    program, store = rows(0, 0)
    parts = dict(store.get(program.weights["w"]))
    parts["offsets"] = np.full((6, 3), -(2**15), np.int16)
    parts["steps"] = np.array([[1, 2, 3]] * 6, np.uint8)
    weights = {**program.weights, "w": store.put("w", OF, parts)}
    with pytest.raises(PassError, match="@w: its offsets are too large to be narrowed"):
        run_pipeline(replace(program, weights=weights), [NarrowOffsets()], Context(store))


def test_what_has_no_such_rows_is_refused() -> None:
    build, store = Builder(), Store()
    ids = build.input("ids", Tensor("i64", ("B", "S")))
    y = build.one("nn.embed", ids, weights=[build.weight(store.put_float("table", np.eye(8, dtype=np.float32)))])
    with pytest.raises(PassError, match="no matrix has 4-bit rows"):
        run_pipeline(build.program({"logits": y}), [NarrowOffsets()], Context(store))
