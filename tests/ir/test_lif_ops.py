"""LIF ops against plain Python loops, in fixed point."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.ir import Current, FixedWeight, Tensor, Train, verify
from sdllm.ir.interpreter import Interpreter

from .samples import LAWS, World, f32

SEEDS = st.integers(0, 2**20)


def run(world: World, **inputs: np.ndarray) -> np.ndarray:
    """The only output."""
    given = {k: torch.from_numpy(v) for k, v in inputs.items()}
    ids = torch.zeros(2, 3, dtype=torch.int64)
    (result,) = Interpreter(verify(world.finish()), world.store).run({"ids": ids, **given}).values()
    return result.numpy()


@given(st.integers(1, 6), st.integers(0, 256), st.integers(1, 5000), SEEDS)
@settings(max_examples=100, **LAWS)
def test_fire(steps: int, beta: int, threshold: int, seed: int) -> None:
    """U_t = I_t + (beta·U >> 8) - S·threshold, S_t = U_t >= threshold; >> rounds down."""
    world = World()
    world.op("lif.fire", world.input("i", Current(steps, 12, ("B", "S", 4))), beta=beta, threshold=threshold)
    current = np.random.default_rng(seed).integers(-6000, 9000, (steps, 2, 3, 4)).astype(np.int32)
    got = run(world, i=current)
    assert got.dtype == np.int8
    for place in np.ndindex(2, 3, 4):
        potential = spike = 0
        for t in range(steps):
            potential = int(current[t][place]) + potential * beta // 256 - spike * threshold
            spike = int(potential >= threshold)
            assert got[t][place] == spike


def test_fire_leaks_and_resets_as_published() -> None:
    """Threshold 0.7 and beta 0.9 in 1/256: a constant 0.5 is silent, then fires, then is reset by subtraction."""
    world = World()
    world.op("lif.fire", world.input("i", Current(4, 8, ("B", "S", 1))), beta=230, threshold=179)
    got = run(world, i=np.full((4, 2, 3, 1), 128, dtype=np.int32))
    assert got[:, 0, 0, 0].tolist() == [0, 1, 0, 1]


def test_a_membrane_at_its_threshold_fires() -> None:
    world = World()
    world.op("lif.fire", world.input("i", Current(1, 0, ("B", "S", 3))), beta=0, threshold=5)
    got = run(world, i=np.tile(np.array([4, 5, 6], dtype=np.int32), (1, 2, 3, 1)))
    assert got[0, 0, 0].tolist() == [0, 1, 1]


@given(st.integers(1, 4), st.integers(0, 12), SEEDS)
@settings(max_examples=40, **LAWS)
def test_current(steps: int, frac: int, seed: int) -> None:
    """The same rounded value at every step; ties to even."""
    world = World()
    world.op("lif.current", world.input("x", f32("B", "S", 3)), T=steps, frac=frac)
    x = np.random.default_rng(seed).standard_normal((2, 3, 3)).astype(np.float32)
    x[0, 0] = np.array([0.5, 1.5, -0.5]) / 2**frac
    got = run(world, x=x)
    assert got.shape == (steps, 2, 3, 3)
    assert all(np.array_equal(step, np.round(x.astype(np.float64) * 2**frac)) for step in got)
    assert got[0, 0, 0].tolist() == [0, 2, 0]


@given(st.integers(1, 3), SEEDS)
@settings(max_examples=40, **LAWS)
def test_linear(steps: int, seed: int) -> None:
    """Each spike adds its weight column, the bias at every step."""
    world = World()
    parts = [world.parameter(FixedWeight(12, s)) for s in ((4, 6), (4,))]
    world.op("lif.linear", world.input("s", Train(steps, ("B", "S", 6))), weights=parts)
    w, b = (world.store.get(world.weights[p])["codes"].astype(int) for p in parts)
    train = np.random.default_rng(seed).integers(0, 2, (steps, 2, 3, 6)).astype(np.int8)
    got = run(world, s=train)
    for place in np.ndindex(steps, 2, 3):
        want = b.copy()
        for column in np.flatnonzero(train[place]):
            want += w[:, column]
        assert np.array_equal(got[place], want)


@given(st.booleans(), st.booleans(), st.integers(1, 3), st.integers(1, 2), SEEDS)
@settings(max_examples=40, **LAWS)
def test_coincide_and_gather(causal: bool, spans: bool, heads: int, shared: int, seed: int) -> None:
    """A_int = (Q·Kᵀ)∘M and A·V, counted spike by spike; key j is seen by query i where mask[j], j <= i and, with spans,
    near[h] <= i - j <= far[h]."""
    rng, new, width, steps = np.random.default_rng(seed), 3, 4, 2
    h = heads * shared
    reach = np.sort(rng.integers(0, new + 1, (2, h)), axis=0).tolist() if spans else [[], []]
    q_type, k_type = Train(steps, ("B", h, "S", width)), Train(steps, ("B", heads, "P+S", width))
    q = rng.integers(0, 2, (steps, 2, h, new, width)).astype(np.int8)
    k = rng.integers(0, 2, (steps, 2, heads, new, width)).astype(np.int8)
    mask = rng.integers(0, 2, (2, new))
    world = World()
    seen = world.input("mask", Tensor("i64", ("B", "P+S")))
    operands = (world.input("q", q_type), world.input("k", k_type), seen)
    world.op("lif.coincide", *operands, causal=causal, near=tuple(reach[0]), far=tuple(reach[1]))
    got = run(world, q=q, k=k, mask=mask)
    for t, b, head, i, j in itertools.product(range(steps), range(2), range(h), range(new), range(new)):
        together = sum(int(x) & int(y) for x, y in zip(q[t, b, head, i], k[t, b, head // shared, j], strict=True))
        near, far = (reach[0][head], reach[1][head]) if spans else (0 if causal else -new, new)
        assert got[t, b, head, i, j] == (together if mask[b, j] and near <= i - j <= far else 0)

    a = rng.integers(0, 2, (steps, 2, h, new, new)).astype(np.int8)
    world = World()
    world.op("lif.gather", world.input("a", Train(steps, ("B", h, "S", "P+S"))), world.input("v", k_type))
    got = run(world, a=a, v=k)
    for t, b, head, i, d in itertools.product(range(steps), range(2), range(h), range(new), range(width)):
        want = sum(int(a[t, b, head, i, j]) & int(k[t, b, head // shared, j, d]) for j in range(new))
        assert got[t, b, head, i, d] == want


def test_mean_of_trains_and_currents() -> None:
    world = World()
    world.op("lif.mean", world.input("s", Train(4, ("B", "S", 1))))
    train = np.zeros((4, 2, 3, 1), dtype=np.int8)
    train[1] = train[2] = train[3] = 1
    assert (run(world, s=train) == 0.75).all()
    world = World()
    world.op("lif.mean", world.input("i", Current(2, 8, ("B", "S", 1))))
    current = np.full((2, 2, 3, 1), 64, dtype=np.int32)
    current[1] = 192
    assert (run(world, i=current) == 0.5).all()


def test_reshape_keeps_time_first() -> None:
    world = World()
    train = world.input("s", Train(2, ("B", "S", 6)))
    world.op("lif.reshape", train, shape=("B", "S", 2, 3), axes=(0, 2, 1, 3))
    values = np.arange(2 * 2 * 3 * 6).reshape(2, 2, 3, 6) % 2
    got = run(world, s=values.astype(np.int8))
    assert np.array_equal(got, values.reshape(2, 2, 3, 2, 3).transpose(0, 1, 3, 2, 4))
