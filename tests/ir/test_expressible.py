"""What SpikeLLM and SDLLM need can be said: steps per channel, grids with minima, spikes in the KV cache."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sdllm.ir import (
    CSD,
    GIF,
    FloatWeight,
    GridWeight,
    Loc,
    Program,
    Segment,
    Spikes,
    Tensor,
    Ternary,
    Type,
    Value,
    parse_program,
    print_program,
    verify,
)
from sdllm.ir.interpreter import Interpreter

from .samples import World, f32, random_weight

# ---- SpikeLLM: 10 % salient channels, put last, fire twice; the others once


WIDTH, SALIENT, OUT = 20, 18, 6
CODES = (Segment(0, SALIENT, GIF(16, 1)), Segment(SALIENT, WIDTH, GIF(16, 2)))


def spikellm(of: GridWeight) -> tuple[Program, World]:
    """Encode on asymmetric grids, one linear, the zero points taken off each segment by itself."""
    world = World()
    weight = world.weight(world.store.put("w", of, random_weight(of, 7)))
    x = world.input("x", f32("B", "S", WIDTH))
    n, v, z = world.op("spike.encode", x, code=CODES, grid="asymmetric", loc=Loc("mlp.up_proj"))
    m = world.one("spike.center", world.one("spike.linear", n, weights=[weight]), z, weights=[weight])
    sums = [world.one("spike.sum", n, z, weights=[weight])] if of.minimum else []
    y = world.one("spike.read_out", m, v, *sums, weights=[weight])
    return verify(world.program({"n": n, "v": v, "z": z, "m": m, "y": y})), world


@pytest.mark.parametrize(
    "of",
    [
        GridWeight(4, WIDTH, False, (OUT, WIDTH)),
        GridWeight(2, 8, True, (OUT, WIDTH)),
        GridWeight(4, 6, True, (OUT, WIDTH)),
    ],
    ids=str,
)
@pytest.mark.parametrize("in_time", [False, True], ids=["counts", "time"])
def test_steps_per_channel(of: GridWeight, in_time: bool) -> None:
    """y = s·(Σ_t W·spike_t - z·ΣW) over the salient channels, and over those alone, + W·dequant(q) over the rest."""
    program, world = spikellm(of)
    assert parse_program(print_program(program)) == program
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((2, 3, WIDTH))).float()
    x[..., SALIENT:] *= 9
    got = Interpreter(program, world.store, in_time=in_time).run({"ids": torch.zeros(2, 3, dtype=torch.int64), "x": x})
    w = torch.from_numpy(world.store.floats(world.weights["w"])).double()
    n, v, z = got["n"].double(), got["v"].double(), got["z"].double()
    usual = ((n[..., :SALIENT] - z[..., :1]) * v[..., :1]) @ w[:, :SALIENT].T
    spikes = torch.from_numpy(GIF(16, 2).encode(got["n"][..., SALIENT:].numpy())).double()
    driven = sum(s @ w[:, SALIENT:].T for s in spikes)
    salient = v[..., 1:] * (driven - z[..., 1:] * w[:, SALIENT:].sum(1))
    assert torch.allclose(got["y"].double(), usual + salient, rtol=1e-4, atol=1e-3)


def test_more_levels_are_finer() -> None:
    """Salient channels, of 31 levels rather than 16, are encoded with half the error; the float product is near."""
    of = GridWeight(4, WIDTH, False, (OUT, WIDTH))
    program, world = spikellm(of)
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((2, 300, WIDTH))).float()
    got = Interpreter(program, world.store).run({"ids": torch.zeros(2, 300, dtype=torch.int64), "x": x})
    segment = [0] * SALIENT + [1] * (WIDTH - SALIENT)
    decoded = (got["n"] - got["z"][..., segment]) * got["v"][..., segment]
    error = (decoded - x).abs()
    assert (error <= got["v"][..., segment] * 0.5001 + 1e-6).all()
    spans = x[..., SALIENT:].clamp(min=0).amax(-1) - x[..., SALIENT:].clamp(max=0).amin(-1)
    assert torch.allclose(got["v"][..., 1], spans / 30, rtol=1e-5)


# ---- SDLLM: K and V spiked, as cached; Q and the probabilities integers


HEADS, SHARED, DIM, VOCABULARY = 2, 2, 8, 13
CACHED: tuple[tuple[str, Type], ...] = tuple(
    (f"{name}.{part}", of)
    for name, code in (("k", CSD(10)), ("v", Ternary(127)))
    for part, of in (
        ("counts", Spikes((Segment(0, DIM, code),), ("B", HEADS, "P", DIM))),
        ("scale", f32("B", HEADS, "P", 1)),
    )
)


class Attention(World):
    """One attention layer over embeddings, in the same program for prefill and for decoding."""

    def rows(self, heads: int) -> Value:
        table = self.parameter(FloatWeight((VOCABULARY, heads * DIM)))
        x = self.one("nn.embed", self.inputs[0], weights=[table])
        split = self.one("nn.reshape", x, shape=("B", "S", heads, DIM))
        return self.one("nn.permute", split, axes=(0, 2, 1, 3))

    def cached(self, name: str) -> tuple[Value, Value]:
        states = {key: self.state(key, of) for key, of in CACHED if key.startswith(name)}
        counts, scale = self.op("spike.encode", self.rows(HEADS), code=dict(CACHED)[f"{name}.counts"].code)
        parts = zip((counts, scale), states, strict=True)
        k, v = (self.one("state.append", part, state=state, axis=2) for part, state in parts)
        return k, v

    def columns(self, scale: Value) -> Value:
        """A scale for each key, [B,H,1,P+S]."""
        turned = self.one("nn.permute", scale, axes=(0, 1, 3, 2))
        return self.one("nn.repeat", turned, axis=1, times=SHARED)

    def whole(self) -> Program:
        mask = self.input("mask", Tensor("i64", ("B", "P+S")))
        q, q_scale = self.op("int.encode", self.rows(HEADS * SHARED), bits=12)
        k, k_scale = self.cached("k")
        v, v_scale = self.cached("v")
        scores = self.one("spike.matmul", q, k, transpose=True)
        scores = self.one("spike.read_matmul", scores, q_scale, self.columns(k_scale))
        p = self.one("nn.softmax", self.one("nn.scale", scores, by=1 / math.sqrt(DIM)), mask)
        # V's scale is one for each key: it goes into the probabilities before they become integers.
        folded = self.one("nn.mul", p, self.columns(v_scale))
        a, a_scale = self.op("int.encode", folded, bits=15, signed=False)
        y = self.one("spike.read_matmul", self.one("spike.matmul", a, v), a_scale)
        return self.program({"y": y}, {"causal": True})


@pytest.fixture(scope="module")
def attention() -> tuple[Program, Attention]:
    world = Attention()
    return verify(world.whole()), world


IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5, 8, 9, 7]])


def test_spiked_attention_reads_back(attention) -> None:
    program, _ = attention
    assert verify(parse_program(print_program(program))) == program
    assert set(program.states) == {"k.counts", "k.scale", "v.counts", "v.scale"}


def test_spiked_attention_is_attention(attention) -> None:
    program, world = attention
    got = Interpreter(program, world.store).run({"ids": IDS})["y"]
    tables = [torch.from_numpy(world.store.floats(w)) for w in world.weights.values()]
    q, k, v = (t[IDS].unflatten(-1, (-1, DIM)).transpose(1, 2) for t in tables)
    k, v = (t.repeat_interleave(SHARED, 1) for t in (k, v))
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(got, want, atol=0.02)
    assert not torch.allclose(got, want, atol=1e-6)


def test_spiked_attention_in_time(attention) -> None:
    program, world = attention
    a, b = (Interpreter(program, world.store, in_time=t).run({"ids": IDS[:, :3]})["y"] for t in (False, True))
    assert torch.equal(a, b)


@pytest.mark.parametrize("chunks", [[1] * 7, [5, 2]], ids=str)
def test_decode_caches_the_spikes_of_prefill(attention, chunks: list[int]) -> None:
    program, world = attention
    run = Interpreter(program, world.store)
    prefilled, stepped = run.new_state(2), run.new_state(2)
    whole = run.run({"ids": IDS}, prefilled)["y"]
    parts = [run.run({"ids": part}, stepped)["y"] for part in IDS.split(chunks, dim=1)]
    assert torch.allclose(torch.cat(parts, dim=2), whole, atol=2e-4)
    assert prefilled.arrays.keys() == stepped.arrays.keys()
    assert all(torch.equal(prefilled.arrays[k], stepped.arrays[k]) for k in prefilled.arrays)
    assert prefilled.arrays["k.counts"].dtype == torch.int32
