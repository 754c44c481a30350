"""Counts and time give the same integers, exactly; read-out gives the dequantised float product."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sdllm.ir import (
    CSD,
    GIF,
    Binary,
    Bits,
    FloatWeight,
    GridWeight,
    Ints,
    Ramp,
    RowWeight,
    Segment,
    SignedBits,
    Spikes,
    Tensor,
    Ternary,
    planes,
    verify,
)
from sdllm.ir.interpreter import KERNELS, Call, Interpreter
from sdllm.ir.interpreter.spikes import exact_matmul
from sdllm.ir.store import integers

from .samples import LAWS, World, f32, random_counts, random_weight, worlds

SIGNED = st.one_of(
    st.integers(1, 20).map(Ternary),
    st.integers(1, 12).map(CSD),
    st.integers(1, 10).map(SignedBits),
    st.tuples(st.sampled_from([2, 4, 8]), st.integers(1, 3)).map(lambda a: Ramp(*a)),
    st.tuples(st.integers(2, 16), st.integers(1, 3)).map(lambda a: GIF(*a, True)),
)
UNSIGNED = st.one_of(
    st.integers(2, 31).map(Binary),
    st.integers(2, 8).map(Bits),
    st.tuples(st.integers(2, 16), st.integers(1, 3)).map(lambda a: GIF(*a)),
)
WIDTHS = st.integers(1, 11)


@st.composite
def spikes(draw: st.DrawFn, width: int, code: st.SearchStrategy = SIGNED) -> Spikes:
    """Spikes of one code, or of segments with codes of their own."""
    cuts = sorted(draw(st.sets(st.integers(1, width - 1), max_size=2))) if width > 1 else []
    edges = [0, *cuts, width]
    parts = tuple(Segment(a, b, draw(code)) for a, b in itertools.pairwise(edges))
    return Spikes(parts, ("B", "S", width))


@st.composite
def grids(draw: st.DrawFn, width: int) -> GridWeight | RowWeight:
    """Grids per channel and per group, groups ragged or not, with minima or not, and rows on one scale."""
    if draw(st.integers(0, 3)) == 0:
        return RowWeight(draw(st.integers(1, 7)), draw(st.integers(1, width + 2)), (draw(st.integers(1, 5)), width))
    minimum = draw(st.booleans())
    bits = draw(st.integers(2, 7 if minimum else 8))
    return GridWeight(bits, draw(st.integers(1, width + 2)), minimum, (draw(st.integers(1, 5)), width))


def both(world: World, inputs: dict) -> tuple[dict, dict]:
    """Outputs in the count domain and in the time domain."""
    program = verify(world.finish())
    return tuple(Interpreter(program, world.store, in_time=t).run(dict(inputs)) for t in (False, True))


def inputs_of(n: Spikes, seed: int, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    counts = torch.from_numpy(random_counts(n, (2, 3, n.shape[-1]), rng)).to(torch.int32)
    return {"ids": torch.zeros(2, 3, dtype=torch.int64), "n": counts, **more}


@given(st.data(), WIDTHS, st.integers(0, 2**20))
@settings(max_examples=120, **LAWS)
def test_linear(data: st.DataObject, width: int, seed: int) -> None:
    n, of = data.draw(spikes(width)), data.draw(grids(width))
    world = World()
    weight = world.weight(world.store.put("w", of, random_weight(of, seed)))
    membrane = world.one("spike.linear", world.input("n", n), weights=[weight])
    inputs = inputs_of(n, seed)
    in_counts, in_time = both(world, inputs)
    (a,), (b,) = in_counts.values(), in_time.values()
    assert a.dtype == b.dtype == torch.int32
    assert torch.equal(a, b)
    codes = torch.from_numpy(integers(of, random_weight(of, seed))).to(torch.int64)
    cells = planes(n.starts, of)
    assert membrane.type.planes == len(cells)
    for index, p in enumerate(cells):
        want = inputs["n"][..., p.start : p.stop].to(torch.int64) @ codes[:, p.start : p.stop].T
        assert torch.equal(a[..., index, :].to(torch.int64), want)


@given(st.data(), WIDTHS, st.integers(0, 2**20))
@settings(max_examples=60, **LAWS)
def test_linear_of_a_float_weight(data: st.DataObject, width: int, seed: int) -> None:
    """Floats are summed in another order: close, not equal."""
    n, of = data.draw(spikes(width)), FloatWeight((4, width))
    world = World()
    weight = world.weight(world.store.put("w", of, random_weight(of, seed)))
    world.op("spike.linear", world.input("n", n), weights=[weight])
    (a,), (b,) = (list(r.values()) for r in both(world, inputs_of(n, seed)))
    assert a.dtype == b.dtype == torch.float32
    assert torch.allclose(a, b, rtol=1e-4, atol=1e-3)


@given(st.data(), WIDTHS, st.integers(0, 2**20))
@settings(max_examples=70, **LAWS)
def test_read_out_is_the_dequantised_product(data: st.DataObject, width: int, seed: int) -> None:
    """y = (V·n) Wᵀ + b with W as floats, on every grid and for every segment."""
    n = data.draw(spikes(width))
    of = data.draw(st.one_of(grids(width), st.just(FloatWeight((3, width)))))
    world = World()
    weight = world.weight(world.store.put("w", of, random_weight(of, seed)))
    bias = world.parameter(FloatWeight((of.shape[0],)))
    counts, scale = world.input("n", n), world.input("v", f32("B", "S", len(n.segments)))
    membrane = world.one("spike.linear", counts, weights=[weight])
    sums = [world.one("spike.sum", counts, weights=[weight])] if "minima" in of.forms else []
    world.op("spike.read_out", membrane, scale, *sums, weights=[weight, bias])
    inputs = inputs_of(n, seed, v=torch.linspace(0.1, 1, 6 * len(n.segments)).reshape(2, 3, -1))
    (a,), (b,) = (list(r.values()) for r in both(world, inputs))
    if not isinstance(of, FloatWeight):
        assert torch.equal(a, b)
    per_channel = torch.cat([inputs["v"][..., [i] * (s.stop - s.start)] for i, s in enumerate(n.segments)], -1)
    floats = torch.from_numpy(world.store.floats(world.weights[weight])).double()
    want = (per_channel * inputs["n"]).double() @ floats.T
    want = want + torch.from_numpy(world.store.floats(world.weights[bias])).double()
    size = (per_channel * inputs["n"]).double().abs() @ floats.abs().T + 1
    assert ((a.double() - want).abs() <= 1e-5 * size).all()


@given(st.data(), WIDTHS, st.sampled_from(["offset", "asymmetric"]), st.integers(0, 2**20))
@settings(max_examples=70, **LAWS)
def test_centred_grids(data: st.DataObject, width: int, grid: str, seed: int) -> None:
    """M - z·ΣW is the membrane of n - z; so is the sum of counts, and read-out sees V·(n - z)."""
    of = data.draw(grids(width))
    code = data.draw(spikes(width, UNSIGNED)).segments
    assume(all(s.code.hi >= 3 for s in code))
    world = World()
    weight = world.weight(world.store.put("w", of, random_weight(of, seed)))
    x = world.input("x", f32("B", "S", width))
    n, v, z = world.op("spike.encode", x, code=code, grid=grid)
    m = world.one("spike.center", world.one("spike.linear", n, weights=[weight]), z, weights=[weight])
    sums = world.one("spike.sum", n, z, weights=[weight])
    y = world.one("spike.read_out", m, v, *([sums] if "minima" in of.forms else []), weights=[weight])
    program = verify(world.program({"n": n, "v": v, "z": z, "m": m, "sums": sums, "y": y}))
    x_values = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, 3, width))).float()
    inputs = {"ids": torch.zeros(2, 3, dtype=torch.int64), "x": x_values}
    a, b = (Interpreter(program, world.store, in_time=t).run(dict(inputs)) for t in (False, True))
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    segment = [next(i for i, s in enumerate(code) if s.start <= c < s.stop) for c in range(width)]
    centred = a["n"].to(torch.int64) - a["z"].to(torch.int64)[..., segment]
    codes = torch.from_numpy(integers(of, random_weight(of, seed))).to(torch.int64)
    for index, p in enumerate(planes(tuple(s.start for s in code), of)):
        part = centred[..., p.start : p.stop]
        assert torch.equal(a["m"][..., index, :].to(torch.int64), part @ codes[:, p.start : p.stop].T)
        assert torch.equal(a["sums"][..., index].to(torch.int64), part.sum(-1))
    floats = torch.from_numpy(world.store.floats(world.weights[weight])).double()
    want = (centred * a["v"].double()[..., segment]) @ floats.T
    assert torch.allclose(a["y"].double(), want, rtol=1e-3, atol=1e-3)


@given(st.data(), SIGNED, st.booleans(), st.integers(2, 15), st.booleans(), st.integers(0, 2**20))
@settings(max_examples=70, **LAWS)
def test_matmul(data: st.DataObject, code, transpose: bool, bits: int, signed: bool, seed: int) -> None:
    """Shared heads, both orientations: the same integers, those of a plain product."""
    shared, heads, new, past, width = (data.draw(st.integers(1, 3)) for _ in range(5))
    total, rng = past + new, np.random.default_rng(seed)
    b_type = Spikes((Segment(0, width, code),), ("B", heads, "P+S", width))
    a_type = Ints(bits, signed, ("B", heads * shared, "S", width if transpose else "P+S"))
    world = World()
    world.op("spike.matmul", world.input("a", a_type), world.input("b", b_type), transpose=transpose)
    low = -a_type.top if signed else 0
    a = torch.from_numpy(rng.integers(low, a_type.top + 1, (2, heads * shared, new, width if transpose else total)))
    b = torch.from_numpy(random_counts(b_type, (2, heads, total, width), rng))
    inputs = {"ids": torch.zeros(2, new, dtype=torch.int64), "a": a.int(), "b": b.int()}
    (x,), (y,) = (list(r.values()) for r in both(world, inputs))
    repeated = torch.stack([b[:, h // shared] for h in range(heads * shared)], dim=1)
    want = torch.einsum("bhsk,bhnk->bhsn" if transpose else "bhsk,bhkn->bhsn", a, repeated)
    assert torch.equal(x, y)
    assert torch.equal(x.squeeze(-2).to(torch.int64), want)


def test_read_matmul_scales_rows_and_columns() -> None:
    world = World()
    m = world.one(
        "spike.matmul",
        world.input("a", Ints(8, True, ("B", 2, "S", 4))),
        world.input("b", Spikes((Segment(0, 4, CSD(7)),), ("B", 1, "P+S", 4))),
        transpose=True,
    )
    rows, columns = world.input("rows", f32("B", 2, "S", 1)), world.input("columns", f32("B", 2, 1, "P+S"))
    world.op("spike.read_matmul", m, rows, columns)
    inputs = world.inputs_for(3)
    (y,), _ = (list(r.values()) for r in both(world, inputs))
    floats = (inputs["a"] * inputs["rows"]) @ (inputs["b"].float()).transpose(2, 3) * inputs["columns"]
    assert torch.allclose(y, floats, rtol=1e-5)


@pytest.mark.parametrize("code", [CSD(14), SignedBits(15), Ramp(64, 2)], ids=str)
def test_sums_beyond_the_exactness_of_float32(code) -> None:
    """Sums above 2^24, odd so that float32 could not hold them."""
    width = 300
    n = Spikes((Segment(0, width, code),), ("B", "S", width))
    of = GridWeight(8, width, False, (2, width))
    world = World()
    codes = np.full((2, width), 127, dtype=np.int8)
    codes[1] = np.random.default_rng(0).integers(-128, 128, width)
    weight = world.weight(world.store.put("w", of, {"codes": codes, "scales": np.ones((2, 1))}))
    world.op("spike.linear", world.input("n", n), weights=[weight])
    counts = torch.full((1, 1, width), code.hi, dtype=torch.int32)
    counts[..., -1] -= 1 if code.hi * width * 127 % 2 == 0 else 0
    (a,), (b,) = (list(r.values()) for r in both(world, {"ids": torch.zeros(1, 1, dtype=torch.int64), "n": counts}))
    want = counts.to(torch.int64) @ torch.from_numpy(codes).to(torch.int64).T
    assert abs(int(want[0, 0, 0])) > 2**24
    assert int(want[0, 0, 0]) % 2 == 1
    assert torch.equal(a, b)
    assert torch.equal(a[..., 0, :].to(torch.int64), want)


def test_membranes_wrap_at_32_bits_in_both_domains() -> None:
    width, code = 3000, SignedBits(15)
    n = Spikes((Segment(0, width, code),), ("B", "S", width))
    of = GridWeight(8, width, False, (1, width))
    world = World()
    codes = np.full((1, width), 127, dtype=np.int8)
    weight = world.weight(world.store.put("w", of, {"codes": codes, "scales": np.ones((1, 1))}))
    world.op("spike.linear", world.input("n", n), weights=[weight])
    counts = torch.full((1, 1, width), code.hi, dtype=torch.int32)
    (a,), (b,) = (list(r.values()) for r in both(world, {"ids": torch.zeros(1, 1, dtype=torch.int64), "n": counts}))
    exact = code.hi * 127 * width
    assert exact > 2**32
    assert a.item() == b.item() == (exact + 2**31) % 2**32 - 2**31


@given(st.integers(0, 2**20), st.sampled_from([10, 4000, 2**20, 2**30]), st.integers(1, 40))
@settings(max_examples=60, **LAWS)
def test_exact_matmul(seed: int, size: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-size, size + 1, (3, width)), rng.integers(-(2**15), 2**15, (width, 2))
    got = exact_matmul(torch.from_numpy(a), torch.from_numpy(b))
    assert np.array_equal(got.numpy(), (a @ b).astype(np.int32))


@given(worlds())
@settings(max_examples=70, **LAWS)
def test_every_integer_op_of_any_program(world: World) -> None:
    """The ops whose results are integers give them in the time domain too, from the same operands."""
    program = verify(world.finish())
    tried = []

    def check(op, operands, results) -> None:
        again = KERNELS[op.name](Call(op, operands, tuple(map(run.weight, op.weights)), {}, True))
        for one, other in zip(results, again, strict=True):
            if not one.is_floating_point():
                assert torch.equal(one, other), op.name
        tried.append(op.name)

    run = Interpreter(program, world.store)
    run.run(world.inputs_for(1), watch=lambda op, *rest: op.state is None and check(op, *rest))
    assert len(tried) + sum(op.state is not None for op in program.ops) == len(program.ops)


def test_a_state_of_integers_stays_integers() -> None:
    """A cached zero point is not turned into floats."""
    world = World()
    z = world.input("z", Tensor("i32", ("B", "S", 1)))
    kept = world.state("z.0", Tensor("i32", ("B", "P", 1)))
    world.op("state.append", z, axis=1, state=kept)
    run = Interpreter(verify(world.finish()), world.store)
    state = run.new_state(1)
    inputs = {"ids": torch.zeros(1, 2, dtype=torch.int64), "z": torch.tensor([[[2**24 + 1], [3]]], dtype=torch.int32)}
    run.run(inputs, state)
    (whole,) = run.run(inputs, state).values()
    assert whole.dtype == torch.int32
    assert whole[0, :, 0].tolist() == [2**24 + 1, 3, 2**24 + 1, 3]
