"""Encoders against their equations in numpy, and the law of halved steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.ir import CSD, GIF, Binary, Bits, Segment, Ternary, verify
from sdllm.ir.interpreter import Interpreter

from .samples import LAWS, World, f32

WIDTH = 12


def encoded(x: np.ndarray, op: str = "spike.encode", **attrs) -> list[np.ndarray]:
    world = World()
    results = world.op(op, world.input("x", f32("B", "S", x.shape[-1])), **attrs)
    program = verify(world.program({str(i): r for i, r in enumerate(results)}))
    ids = torch.zeros(x.shape[:2], dtype=torch.int64)
    return [r.numpy() for r in Interpreter(program, world.store).run({"ids": ids, "x": torch.from_numpy(x)}).values()]


def activations(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((2, 3, WIDTH)) * 3).astype(np.float32)


def nearly_round(n: np.ndarray, exact: np.ndarray) -> bool:
    """Whether n is round(exact), give or take float error at a tie."""
    return bool((np.abs(n - exact) <= 0.5 + 1e-3).all())


SEEDS = st.integers(0, 2**20)


@given(SEEDS, st.sampled_from([(Ternary(7), 7), (CSD(5), 21), (GIF(16, 2, True), 30)]), st.floats(0.3, 1.0))
@settings(max_examples=40, **LAWS)
def test_absmax(seed: int, coded, factor: float) -> None:
    """V = c·max|x|/N, n = clip(round(x/V), -N, N)."""
    (code, top), x = coded, activations(seed)
    n, v = encoded(x, code=code, factor=factor)
    want = np.abs(x).max(-1, keepdims=True) * factor / top
    assert np.allclose(v, want, rtol=1e-6)
    assert nearly_round(n, np.clip(x / want, -top, top))
    assert np.abs(n).max() == top


@given(SEEDS, st.sampled_from([2.0, 3.0, 4.0]))
@settings(max_examples=40, **LAWS)
def test_mean(seed: int, k: float) -> None:
    """V = mean|x|/k, unclipped while the code carries it."""
    x = activations(seed)
    n, v = encoded(x, code=CSD(12), threshold="mean", factor=1 / k)
    assert np.allclose(v, np.abs(x).mean(-1, keepdims=True) / k, rtol=1e-5)
    assert nearly_round(n, x / v)


@given(SEEDS, st.floats(0.05, 2.0))
@settings(max_examples=20, **LAWS)
def test_static(seed: int, threshold: float) -> None:
    """V is given; counts clip at what the code carries."""
    x = activations(seed)
    n, v = encoded(x, code=Ternary(5), threshold="static", factor=threshold)
    assert (v == np.float32(threshold)).all()
    assert nearly_round(n, np.clip(x / v, -5, 5))


@given(SEEDS, st.sampled_from([(GIF(16, 1), 15), (Binary(15), 15), (Bits(4), 15), (GIF(16, 2), 30)]))
@settings(max_examples=40, **LAWS)
def test_asymmetric(seed: int, coded) -> None:
    """s = (max-min)/N, z = round(-min/s), q = clip(round(x/s)+z, 0, N), 0 always on the grid."""
    (code, top), x = coded, activations(seed)
    x[0, 0] = np.abs(x[0, 0]) + 1
    n, v, z = encoded(x, code=code, grid="asymmetric")
    low, high = np.minimum(x.min(-1, keepdims=True), 0), np.maximum(x.max(-1, keepdims=True), 0)
    assert np.allclose(v, (high - low) / top, rtol=1e-6)
    assert nearly_round(z, -low / v)
    assert n.min() >= 0
    assert n.max() <= top
    assert (np.abs((n - z) * v - x) <= v * 1.01).all()
    assert z[0, 0, 0] == 0


@pytest.mark.parametrize("signed", [False, True], ids=["asymmetric", "symmetric"])
@given(seed=SEEDS, levels=st.integers(2, 16), steps=st.sampled_from([2, 4]))
@settings(max_examples=40, **LAWS)
def test_gif_saturates_as_it_is_told(signed: bool, seed: int, levels: int, steps: int) -> None:
    """T spikes of at most L-1 carry T·(L-1), the grid of SpikeLLM goes to T·L-1: its top T-1 codes saturate, or there
    is a step more (or as many as it takes, if L < T), and then none does."""
    x, top = activations(seed), steps * levels - 1
    grid = "symmetric" if signed else "asymmetric"

    def with_steps(count: int) -> list[np.ndarray]:
        return encoded(x, code=GIF(levels, count, signed), grid=grid, levels=top)

    short, whole = with_steps(steps), with_steps(-(-top // (levels - 1)))
    assert np.array_equal(short[1], whole[1])
    carried = steps * (levels - 1)
    assert np.array_equal(short[0], np.clip(whole[0], -carried if signed else 0, carried))
    if signed:
        assert np.abs(whole[0]).max() == top
        assert (short[0] != whole[0]).any()


def test_segments_have_their_own_levels() -> None:
    x = activations(3)
    code = (Segment(0, 5, GIF(16, 2)), Segment(5, WIDTH, GIF(16, 1)))
    n, v, z = encoded(x, code=code, grid="asymmetric", levels=(31, 0))
    for index, (s, top) in enumerate(zip(code, (31, 15), strict=True)):
        parts = encoded(np.ascontiguousarray(x[..., s.start : s.stop]), code=s.code, grid="asymmetric", levels=top)
        made = (n[..., s.start : s.stop], v[..., index : index + 1], z[..., index : index + 1])
        assert all(np.array_equal(a, b) for a, b in zip(made, parts, strict=True))


@pytest.mark.parametrize("levels", [0, 7])
@given(seed=SEEDS)
@settings(max_examples=40, **LAWS)
def test_halving_the_steps(levels: int, seed: int) -> None:
    """The same scale; n = q - 8, but where q = 0 n is -7. `levels` = 7 is what a binary code of 15 has by itself."""
    x = activations(seed)
    q, scale, zero = encoded(x, code=Binary(15), grid="offset", levels=levels, factor=0.8)
    n, halved = encoded(x, code=Ternary(7), factor=0.8)
    assert np.array_equal(scale, halved)
    assert (zero == 8).all()
    assert np.array_equal(n, np.maximum(q - 8, -7))
    assert q.max() == 15 or q.min() == 0


@given(SEEDS, st.sampled_from([0.0, 0.1, 0.3, 0.7]), st.sampled_from(["threshold_first", "clip_first"]))
@settings(max_examples=60, **LAWS)
def test_clipping(seed: int, quantile: float, order: str) -> None:
    """soft: u = sign(x)·relu(|x| - q); hard: u = x where |x| > q; V before or after."""
    x = activations(seed)
    rank = int(quantile * WIDTH)
    q = np.sort(np.abs(x), axis=-1)[..., rank - 1 : rank] if rank else np.zeros((2, 3, 1), np.float32)
    for form, u in (("soft", np.sign(x) * np.maximum(np.abs(x) - q, 0)), ("hard", np.where(np.abs(x) > q, x, 0))):
        n, v = encoded(x, code=Ternary(7), clip=form, quantile=quantile, order=order)
        measured = u if order == "clip_first" else x
        assert np.allclose(v, np.abs(measured).max(-1, keepdims=True) / 7, rtol=1e-5)
        assert nearly_round(n, u / v)
        assert ((n == 0).sum(-1) >= rank).all()


@pytest.mark.parametrize("code", [Ternary(7), CSD(5)], ids=str)
@pytest.mark.parametrize("threshold", ["absmax", "mean"])
def test_a_silent_token_stays_silent(code, threshold: str) -> None:
    n, v = encoded(np.zeros((1, 2, WIDTH), np.float32), code=code, threshold=threshold)
    assert not n.any()
    assert np.isfinite(v).all()
    assert (v > 0).all()


def test_tokens_and_segments_have_their_own_scale() -> None:
    x = activations(5)
    code = (Segment(0, 5, Ternary(7)), Segment(5, WIDTH, CSD(4)))
    n, v = encoded(x, code=code)
    for index, s in enumerate(code):
        part, scale = encoded(np.ascontiguousarray(x[..., s.start : s.stop]), code=s.code)
        assert np.array_equal(n[..., s.start : s.stop], part)
        assert np.array_equal(v[..., index : index + 1], scale)


@given(SEEDS, st.integers(2, 16), st.booleans())
@settings(max_examples=40, **LAWS)
def test_integers(seed: int, bits: int, signed: bool) -> None:
    """round(x·N/max|x|), N = 2^(bits-1) - 1 or 2^bits - 1; unsigned integers are not negative."""
    x = activations(seed) if signed else np.abs(activations(seed))
    n, v = encoded(x, "int.encode", bits=bits, signed=signed)
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    assert np.allclose(v, np.abs(x).max(-1, keepdims=True) / top, rtol=1e-6)
    assert (np.abs(n * v - x) <= v * 0.5 + 1e-4 * np.abs(x)).all()
    assert (np.abs(n).max(-1) == top).all()
