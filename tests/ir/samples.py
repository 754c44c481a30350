"""An example call of every op, and random well-typed programs made of such calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck
from hypothesis import strategies as st
from sdllm.backends.conformance import probe
from sdllm.ir import (
    CSD,
    GIF,
    Binary,
    Bits,
    Builder,
    Current,
    FixedWeight,
    FloatWeight,
    GridWeight,
    Ints,
    Loc,
    Membrane,
    Program,
    Ramp,
    RowWeight,
    Segment,
    SignedBits,
    Spikes,
    Store,
    Tensor,
    Ternary,
    Train,
    Type,
    Value,
    WeightType,
)

DIMS = {"B": 2, "S": 3, "P": 0}
WIDTH = 6
TOKENS = ("B", "S", WIDTH)
SIGNED = (Ternary(7), CSD(5), SignedBits(4), Ramp(4, 2), GIF(4, 3, True))
UNSIGNED = (Binary(15), Bits(4), GIF(16, 2))
MIXED = (Segment(0, 4, CSD(4)), Segment(4, WIDTH, Ternary(3)))
GRIDS = (
    GridWeight(4, 4, False, (5, WIDTH)),
    GridWeight(4, 3, True, (5, WIDTH)),
    GridWeight(8, WIDTH, False, (5, WIDTH)),
    GridWeight(3, 3, True, (5, WIDTH), (Segment(0, 3, GIF(4, 2)), Segment(3, WIDTH, GIF(4, 1)))),
    RowWeight(4, 4, (5, WIDTH)),
)
FLOAT = FloatWeight((5, WIDTH))
ODD_LOCS = (
    Loc(""),
    Loc("model.layers.0.mlp", ("modeling_llama.py:12", "modeling_llama.py:13")),
    Loc('a "quoted" \\ name, with } : f32[2] loc(x)', ("C:\\dir\\файл.py:1", "two\nlines")),
)

Choose = Callable[[Sequence[Any]], Any]


def f32(*shape: int | str) -> Tensor:
    return Tensor("f32", shape)


def segments(code: Any) -> tuple[Segment, ...]:
    return code if isinstance(code, tuple) else (Segment(0, WIDTH, code),)


def random_weight(of: WeightType, seed: int) -> dict[str, np.ndarray]:
    """Parts of a weight of that type."""
    return probe.random_weight(of, np.random.default_rng(seed))


def random_counts(of: Spikes, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Counts within the range of each segment's code, the extremes among them."""
    parts = [rng.integers(s.code.lo, s.code.hi + 1, (*shape[:-1], s.stop - s.start)) for s in of.segments]
    counts = np.concatenate(parts, axis=-1)
    counts[..., 0].flat[0] = of.segments[0].code.lo
    return counts


def random_value(of: Type, rng: np.random.Generator, dims: dict[str, int] = DIMS) -> torch.Tensor:
    """A run-time value of that type."""
    shape = [d if isinstance(d, int) else sum(dims[p] for p in d.split("+")) for d in of.shape]
    if isinstance(of, Spikes):
        return torch.from_numpy(random_counts(of, shape, rng)).to(torch.int32)
    if isinstance(of, Ints):
        return torch.from_numpy(rng.integers(-of.top if of.signed else 0, of.top + 1, shape)).to(torch.int32)
    if isinstance(of, Membrane):
        held = torch.from_numpy(rng.integers(-99, 99, (*shape[:-1], of.planes, shape[-1])))
        return held.to(torch.int32 if of.dtype == "i32" else torch.float32)
    if isinstance(of, Train):
        return torch.from_numpy(rng.integers(0, 2, (of.steps, *shape))).to(torch.int8)
    if isinstance(of, Current):
        return torch.from_numpy(rng.integers(-4000, 4000, (of.steps, *shape))).to(torch.int32)
    if of.dtype == "f32":
        return torch.from_numpy(rng.standard_normal(shape)).float()
    return torch.from_numpy(rng.integers(0, 2, shape)).to(torch.int32 if of.dtype == "i32" else torch.int64)


class World(Builder):
    """A builder which makes the values and weights that an example needs; `choose` picks among variants."""

    def __init__(self, choose: Choose = lambda variants: variants[0]) -> None:
        super().__init__()
        self.choose = choose
        self.store = Store()
        self.input("ids", Tensor("i64", ("B", "S")))

    def value(self, of: Type) -> Value:
        """A value of that type: one that is there already, or a new input."""
        there = [v for v in (*self.inputs, *(r for op in self.ops for r in op.results)) if v.type == of]
        chosen = self.choose([*there, None])
        return chosen if chosen is not None else self.input(f"in.{len(self.inputs)}", of)

    def parameter(self, of: WeightType) -> str:
        """A weight of that type with numbers of its own."""
        name = f"layers.{len(self.weights)}.weight"
        return self.weight(self.store.put(name, of, random_weight(of, len(self.weights))))

    def call(self, name: str, *types: Type, weights: Sequence[WeightType] = (), **rest: Any) -> tuple[Value, ...]:
        """Append an op on values of these types and new weights."""
        made = [self.parameter(w) for w in weights]
        loc = self.choose([ODD_LOCS[1], *ODD_LOCS])
        return self.op(name, *map(self.value, types), weights=made, loc=loc, **rest)

    def finish(self, meta: dict[str, Any] | None = None) -> Program:
        """The program, every value that nothing reads an output."""
        read = {o.name for op in self.ops for o in op.operands}
        results = [r for op in self.ops for r in op.results if r.name not in read]
        return self.program({f"out.{i}": v for i, v in enumerate(results)}, meta)

    def inputs_for(self, seed: int = 0, dims: dict[str, int] = DIMS) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(seed)
        return {v.name: random_value(v.type, rng, dims) for v in self.inputs}


def _heads(width: int = 4, heads: int = 4, tokens: str = "S") -> Tensor:
    return f32("B", heads, tokens, width)


def _linear(w: World) -> None:
    weight = w.parameter(w.choose([*GRIDS, FLOAT]))
    code = w.choose([*SIGNED, MIXED])
    n = w.value(Spikes(segments(code), TOKENS))
    m = w.one("spike.linear", n, weights=[weight])
    of = w.weights[weight].type
    v = w.value(f32("B", "S", len(segments(code))))
    sums = [w.one("spike.sum", n, weights=[weight])] if "minima" in of.forms else []
    w.one("spike.read_out", m, v, *sums, weights=[weight, w.parameter(FloatWeight((5,)))])


def _centered(w: World) -> None:
    code, weight = w.choose(UNSIGNED), w.parameter(w.choose(GRIDS[:2]))
    of = w.weights[weight].type
    grid = w.choose(["offset", "asymmetric"])
    n, v, z = w.op("spike.encode", w.value(f32(*TOKENS)), code=code, grid=grid)
    m = w.one("spike.center", w.one("spike.linear", n, weights=[weight]), z, weights=[weight])
    sums = [w.one("spike.sum", n, z, weights=[weight])] if "minima" in of.forms else []
    w.one("spike.read_out", m, v, *sums, weights=[weight])


def _matmul(w: World) -> None:
    transpose, code = w.choose([False, True]), w.choose(SIGNED)
    shape = ("B", 2, "P+S", 4)
    a = Ints(w.choose([4, 8, 15]), w.choose([True, False]), ("B", 4, "S", 4 if transpose else "P+S"))
    (m,) = w.call("spike.matmul", a, Spikes((Segment(0, 4, code),), shape), transpose=transpose)
    columns = [f32("B", 4, 1, m.type.shape[3])] * w.choose([0, 1])
    w.op("spike.read_matmul", m, w.value(f32("B", 4, "S", 1)), *map(w.value, columns))


def _encode(w: World) -> None:
    code = w.choose([*SIGNED, MIXED])
    w.call(
        "spike.encode",
        f32(*TOKENS),
        code=code,
        levels=w.choose([0, 3, (2, 1) if code is MIXED else (2,)]),
        threshold=w.choose(["absmax", "mean", "static"]),
        factor=w.choose([1.0, 1 / 3, 1e-7]),
        clip=w.choose(["none", "soft", "hard"]),
        quantile=w.choose([0.0, 0.3]),
        order=w.choose(["threshold_first", "clip_first"]),
    )


def _append(w: World) -> None:
    of, axis = w.choose(
        [
            (f32("B", 4, "S", 4), 2),
            (Spikes((Segment(0, 4, Ternary(7)),), ("B", 2, "S", 4)), 2),
            (Train(2, ("B", 4, "S", 4)), 2),
            (Ints(8, True, ("B", "S", 3)), 1),
            (Tensor("i32", ("B", "S", 1)), 1),
        ]
    )
    past = tuple("P" if d == "S" else d for d in of.shape)
    kept = type(of)(**{f: getattr(of, f) for f in of.__slots__} | {"shape": past})
    w.call("state.append", of, axis=axis, state=w.state(f"kv.{len(w.states)}", kept))


def _concat(w: World) -> None:
    axis = w.choose([1, -3])
    w.call("nn.concat", _heads(), _heads(heads=2), axis=axis)


MASK = Tensor("i64", ("B", "P+S"))

SAMPLES: dict[str, Callable[[World], object]] = {
    "nn.embed": lambda w: w.call("nn.embed", Tensor("i64", ("B", "S")), weights=[FloatWeight((9, 6))], offset=1),
    "nn.linear": lambda w: w.call("nn.linear", f32(*TOKENS), weights=[w.choose([FLOAT, *GRIDS]), FloatWeight((5,))]),
    "nn.rms_norm": lambda w: w.call(
        "nn.rms_norm", f32(*TOKENS), weights=[FloatWeight((6,))], eps=1e-5, gain_offset=1.0
    ),
    "nn.layer_norm": lambda w: w.call(
        "nn.layer_norm", _heads(), weights=[FloatWeight(w.choose([(4,), (4, 4)]))] * w.choose([2, 1, 0]), eps=1e-6
    ),
    "nn.add": lambda w: w.call("nn.add", f32(*TOKENS), f32(*w.choose([TOKENS, (6,), ("B", "S", 1)]))),
    "nn.mul": lambda w: w.call("nn.mul", f32("B", "S", 1), f32(*TOKENS)),
    "nn.scale": lambda w: w.call("nn.scale", f32(*TOKENS), by=w.choose([0.125, -1e30, 3.0])),
    "nn.bias": lambda w: w.call("nn.bias", f32(*TOKENS), weights=[FloatWeight((6,))]),
    "nn.activation": lambda w: w.call("nn.activation", f32(*TOKENS), kind=w.choose(["silu", "relu2", "gelu_tanh"])),
    "nn.softcap": lambda w: w.call("nn.softcap", f32(*TOKENS), cap=30.0),
    "nn.rope": lambda w: w.call(
        "nn.rope",
        _heads(),
        Tensor("i64", ("B", "S")),
        weights=[FloatWeight((2,))],
        layout=w.choose(["half", "interleaved"]),
        scaling=w.choose([1.0, 0.7]),
    ),
    "nn.reshape": lambda w: w.call("nn.reshape", f32(*TOKENS), shape=("B", "S", 2, 3)),
    "nn.permute": lambda w: w.call("nn.permute", _heads(), axes=(0, 2, 1, 3)),
    "nn.set_apart": lambda w: w.call(
        "nn.set_apart",
        f32(*TOKENS),
        channels=w.choose([(4, 1), (0,), (5, 4, 3, 2, 1, 0)]),
        back=w.choose([False, True]),
    ),
    "nn.slice": lambda w: w.call("nn.slice", f32(*TOKENS), axis=w.choose([2, -1]), start=1, stop=4),
    "nn.concat": _concat,
    "nn.repeat": lambda w: w.call("nn.repeat", _heads(heads=2), axis=1, times=2),
    "nn.rotate": lambda w: w.call("nn.rotate", f32(*TOKENS), weights=[FloatWeight((3, 3))], hadamard=2),
    "state.append": _append,
    "nn.attend": lambda w: w.call(
        "nn.attend",
        _heads(),
        _heads(4, 2, "P+S"),
        _heads(5, 2, "P+S"),
        MASK,
        scale=0.5,
        window=w.choose([0, 2]),
        softcap=w.choose([0.0, 20.0]),
        alibi=w.choose([False, True]),
        causal=w.choose([True, False]),
    ),
    "nn.softmax": lambda w: w.call("nn.softmax", f32("B", 4, "S", "P+S"), MASK),
    "spike.encode": _encode,
    "int.encode": lambda w: w.call("int.encode", _heads(), bits=w.choose([8, 4, 16]), signed=w.choose([True, False])),
    "spike.linear": _linear,
    "spike.center": _centered,
    "spike.sum": lambda w: w.call("spike.sum", Spikes(MIXED, TOKENS), weights=[w.choose(GRIDS)]),
    "spike.read_out": _linear,
    "spike.matmul": _matmul,
    "spike.read_matmul": _matmul,
    "lif.current": lambda w: w.call("lif.current", f32(*TOKENS), T=w.choose([2, 4]), frac=8),
    "lif.fire": lambda w: w.call("lif.fire", Current(2, 8, TOKENS), beta=w.choose([230, 0, 256]), threshold=179),
    "lif.linear": lambda w: w.call(
        "lif.linear", Train(2, TOKENS), weights=[FixedWeight(12, (5, WIDTH)), FixedWeight(12, (5,))]
    ),
    "lif.coincide": lambda w: w.call(
        "lif.coincide",
        Train(2, ("B", 4, "S", 4)),
        Train(2, ("B", 2, "P+S", 4)),
        MASK,
        **w.choose([{}, {"near": (0, 1, 2, 0), "far": (0, 1, 5, 9)}]),
    ),
    "lif.gather": lambda w: w.call("lif.gather", Train(2, ("B", 4, "S", "P+S")), Train(2, ("B", 2, "P+S", 5))),
    "lif.both": lambda w: w.call("lif.both", Train(2, TOKENS), Train(2, TOKENS)),
    "lif.reshape": lambda w: w.call(
        "lif.reshape", w.choose([Train(2, TOKENS), Current(4, 8, TOKENS)]), shape=("B", "S", 2, 3), axes=(0, 2, 1, 3)
    ),
    "lif.mean": lambda w: w.call("lif.mean", w.choose([Train(2, TOKENS), Current(2, 8, TOKENS)])),
}


def example(name: str) -> World:
    """A world that holds an example of that op."""
    world = World()
    SAMPLES[name](world)
    return world


@st.composite
def worlds(draw: st.DrawFn, most: int = 6) -> World:
    """Worlds with a few random calls, which read each other's results where types agree."""
    world = World(lambda variants: draw(st.sampled_from(list(variants))))
    for name in draw(st.lists(st.sampled_from(sorted(SAMPLES)), min_size=1, max_size=most)):
        SAMPLES[name](world)
    return world


LAWS: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
