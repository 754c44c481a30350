"""The weight store: hashes, checks, lazy entries, dequantisation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.ir import GIF, FixedWeight, FloatWeight, GridWeight, IRError, Segment, Store, Weight, dequantize, digest

from .samples import LAWS, World, example, f32, random_weight

A = np.arange(6, dtype=np.int8)


@pytest.mark.parametrize(
    "other",
    [
        {"scales": A},
        {"codes": A.astype(np.int16)},
        {"codes": A.astype(np.uint8)},
        {"codes": A.reshape(2, 3)},
        {"codes": A.reshape(3, 2)},
        {"codes": A[::-1]},
        {"codes": A, "scales": A},
        {},
    ],
)
def test_the_digest_depends_on_everything(other: dict) -> None:
    assert digest({"codes": A}) != digest(other)


def test_the_digest_depends_on_nothing_else() -> None:
    wide = np.arange(12, dtype=np.int16)
    assert digest({"a": A, "b": wide}) == digest({"b": wide, "a": A})
    assert digest({"a": wide[::2]}) == digest({"a": wide[::2].copy()})
    assert digest({"a": wide}) == digest({"a": wide.astype(">i2")})
    assert digest({"a": np.asfortranarray(wide.reshape(3, 4))}) == digest({"a": wide.reshape(3, 4)})


def test_the_digest_never_changes() -> None:
    """An artifact written by one version is read by the next: this hash may only change with the format."""
    assert digest({"codes": A}) == "b3a32b0d606b80c0bc9d6af60ad7d65f32e8fdd4c79a54ae0c9ea66fd54864d5"


GRID = GridWeight(4, 4, False, (5, 6))
MINIMUM = GridWeight(4, 4, True, (5, 6))
SPIKES = GridWeight(3, 2, True, (5, 6), (Segment(0, 2, GIF(4, 2)), Segment(2, 6, GIF(4, 1))))


@pytest.mark.parametrize("of", [FloatWeight((3, 4)), FixedWeight(12, (3, 4)), GRID, MINIMUM], ids=str)
def test_what_is_put_is_got(of) -> None:
    store = Store()
    parts = random_weight(of, 1)
    weight = store.put("w", of, parts)
    assert weight == Weight("w", of, digest(parts))
    got = store.get(weight)
    assert set(got) == set(parts)
    assert all(np.array_equal(got[k], parts[k]) and got[k].dtype == parts[k].dtype for k in parts)
    assert np.array_equal(store.floats(weight), dequantize(of, parts))


def test_put_stores_the_types_dtype() -> None:
    parts = {k: v.astype(np.float64) for k, v in random_weight(GRID, 1).items()}
    got = Store()
    weight = got.put("w", GRID, parts)
    assert [got.get(weight)[k].dtype for k in ("codes", "scales")] == [np.int8, np.float16]


@pytest.mark.parametrize(
    ("of", "change", "says"),
    [
        (GRID, {"scales": None}, "has the parts codes, scales, not codes"),
        (MINIMUM, {"minima": None}, "has the parts codes, scales, minima"),
        (GRID, {"minima": np.zeros((5, 2))}, "has the parts"),
        (GRID, {"codes": np.zeros((6, 5), np.int8)}, "codes has shape"),
        (GRID, {"scales": np.ones((5, 1))}, "scales has shape"),
        (GRID, {"codes": np.full((5, 6), 8)}, "codes have numbers"),
        (GRID, {"codes": np.full((5, 6), -9)}, "codes have numbers"),
        (GRID, {"codes": np.full((5, 6), 300)}, "codes have numbers"),
        (GRID, {"codes": np.full((5, 6), 1.5)}, "codes have numbers"),
        (GRID, {"scales": np.full((5, 2), 1e6)}, "scales have numbers"),
        (GRID, {"scales": np.full((5, 2), np.nan)}, "scales have numbers"),
        (MINIMUM, {"codes": np.full((5, 6), -1)}, "codes have numbers"),
        (MINIMUM, {"codes": np.full((5, 6), 16)}, "codes have numbers"),
        (SPIKES, {"codes": np.tile([0, 3, 4, 0, 0, 0], (5, 1))}, "codes have numbers"),
        (FixedWeight(12, (2,)), {"codes": np.full(2, 40000)}, "codes have numbers"),
        (FloatWeight((2,)), {"values": np.zeros(3)}, "values has shape"),
    ],
)
def test_what_does_not_fit_its_type_is_refused(of, change: dict, says: str) -> None:
    parts = {k: v for k, v in {**random_weight(of, 1), **change}.items() if v is not None}
    with pytest.raises(IRError, match=f"weight @w: .*{says}"):
        Store().put("w", of, parts)


@pytest.mark.parametrize(("bits", "group", "minimum"), [(0, 4, False), (9, 4, False), (8, 4, True), (4, 0, False)])
def test_grids_that_arrays_cannot_hold_are_refused(bits: int, group: int, minimum: bool) -> None:
    with pytest.raises(IRError, match="bits are 1 to"):
        GridWeight(bits, group, minimum, (4, 4))


def test_equal_weights_are_kept_once() -> None:
    store = Store()
    a, b = store.put_float("a", np.ones(3)), store.put_float("b", np.ones(3))
    assert a.sha256 == b.sha256
    assert store.get(a)["values"] is store.get(b)["values"]


def test_lazy_entries_are_read_when_asked_for() -> None:
    reads = []

    def read() -> np.ndarray:
        reads.append(1)
        return np.ones((2, 3), dtype=np.float64)

    store = Store()
    weight = store.put_lazy("w", read)
    assert weight == Store().put_float("w", np.ones((2, 3)))
    declared = len(reads)
    assert np.array_equal(store.floats(weight), np.ones((2, 3), dtype=np.float32))
    store.floats(weight)
    assert len(reads) == declared + 2


def test_an_unknown_hash_is_refused() -> None:
    with pytest.raises(IRError, match="weight @w: no tensor with sha256 abab"):
        Store().get(Weight("w", FloatWeight((1,)), "ab" * 32))


def test_keep_only() -> None:
    world = example("nn.bias")
    store = world.store
    extra = store.put_float("extra", np.ones(3))
    lazy = store.put_lazy("lazy", lambda: np.zeros(4))
    used = next(iter(world.weights.values()))
    other = World()
    other.weight(lazy)
    other.op("nn.bias", other.value(f32("B", "S", 4)), weights=["lazy"])
    store.keep_only(world.finish(), other.finish())
    assert store.get(used)
    assert store.get(lazy)
    with pytest.raises(IRError):
        store.get(extra)
    store.keep_only(world.finish())
    with pytest.raises(IRError):
        store.get(lazy)


@given(st.integers(1, 8), st.integers(1, 9), st.booleans(), st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=80, **LAWS)
def test_dequantised_values(bits: int, group: int, minimum: bool, out: int, inputs: int, seed: int) -> None:
    """w[o, i] = scale[o, i // group] · code[o, i] (+ minimum[o, i // group]), the last group as short as it is."""
    of = GridWeight(min(bits, 7) if minimum else bits, group, minimum, (out, inputs))
    parts = random_weight(of, seed)
    got = dequantize(of, parts)
    assert got.dtype == np.float32
    for o in range(out):
        for i in range(inputs):
            want = np.float32(parts["scales"][o, i // group]) * np.float32(parts["codes"][o, i])
            if minimum:
                want += np.float32(parts["minima"][o, i // group])
            assert got[o, i] == want


def test_dequantised_fixed_point() -> None:
    codes = np.array([-4096, 0, 1, 32767], dtype=np.int16)
    assert dequantize(FixedWeight(12, (4,)), {"codes": codes}).tolist() == [-1.0, 0.0, 2**-12, 32767 / 4096]


@pytest.mark.parametrize(
    ("of", "bits"),
    [
        (GridWeight(4, 64, False, (2, 128)), 4.25),
        (GridWeight(4, 64, True, (2, 128)), 4.5),
        (GridWeight(4, 64, False, (2, 100)), 4.32),
        (SPIKES, (2 * 3 + 4 * 2 + 3 * 32) / 6),
    ],
)
def test_bits_a_weight_costs(of: GridWeight, bits: float) -> None:
    assert of.bits_per_weight == pytest.approx(bits)
