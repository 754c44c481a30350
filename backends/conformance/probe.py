"""Small programs that try one thing. As in a whole model, all comes from token ids and leaves as float32.

So a backend needs nothing but the interface to be tried: integers are looked up in tables by id, go through a static
threshold of 1 and are exact; they leave through weights and scales of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import (
    Builder,
    FixedWeight,
    FloatWeight,
    GridWeight,
    Loc,
    Op,
    Program,
    RowWeight,
    Segment,
    Spikes,
    Store,
    Tensor,
    Ternary,
    Value,
    WeightType,
    verify,
)
from ...ir.types import Segments

ROWS = 24  # token ids are 0 … 23
SOURCE = "probe.py:1"


def random_weight(of: WeightType, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Parts of a weight of that type."""
    if isinstance(of, FloatWeight):
        return {"values": rng.standard_normal(of.shape).astype(np.float32)}
    if isinstance(of, FixedWeight):
        return {"codes": rng.integers(-3000, 3000, of.shape).astype(np.int16)}
    runs = of.ranges
    low, high = (np.repeat([run[i] for run in runs], [run[1] - run[0] for run in runs]) for i in (2, 3))
    codes = rng.integers(low, high + 1, of.shape).astype(np.int8)
    each = (of.shape[0], of.groups)
    if isinstance(of, RowWeight):
        return {
            "codes": codes,
            "steps": rng.integers(1, 256, each).astype(np.uint8),
            "offsets": rng.integers(-3000, 3000, each).astype(np.int16),
            "scales": rng.uniform(1e-5, 1e-4, (of.shape[0], 1)).astype(np.float32),
        }
    parts: dict[str, NDArray[Any]] = {"codes": codes, "scales": rng.uniform(0.01, 0.1, each).astype(np.float16)}
    return {**parts, "minima": rng.uniform(-0.5, 0.0, each).astype(np.float16)} if of.minimum else parts


class Probe(Builder):
    """A program that is being built, part by part; every part says how its outputs are to be compared."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.rng = np.random.default_rng(0)
        self.ids = self.input("ids", Tensor("i64", ("B", "S")))
        self.loc = Loc("probe", (SOURCE,))
        self.seen: dict[str, Value] = {}

    # ---- what a part is made of ----

    def do(self, name: str, *operands: Value, **rest: Any) -> Value:
        """An op with one result, at the module of this part."""
        return self.one(name, *operands, loc=self.loc, **rest)

    def both(self, name: str, *operands: Value, **rest: Any) -> tuple[Value, ...]:
        """An op with several results."""
        return self.op(name, *operands, loc=self.loc, **rest)

    def given(self, name: str) -> Value:
        """`positions` or `mask`."""
        shape = {"positions": ("B", "S"), "mask": ("B", "P+S")}[name]
        known = next((v for v in self.inputs if v.name == name), None)
        return known or self.input(name, Tensor("i64", shape))

    def parameter(self, of: WeightType) -> str:
        """A weight of that type with random numbers."""
        return self.weight(self.store.put(f"w{len(self.weights)}", of, random_weight(of, self.rng)))

    def table(self, values: NDArray[Any]) -> Value:
        """A row of these for each id: [ROWS, width] -> f32[B,S,width]."""
        name = self.weight(self.store.put_float(f"table{len(self.weights)}", values))
        return self.do("nn.embed", self.ids, weights=[name])

    def floats(self, width: int = 6, scale: float = 1.0) -> Value:
        """Random floats f32[B,S,width]."""
        return self.table(self.rng.standard_normal((ROWS, width)) * scale)

    def split(self, x: Value, heads: int) -> Value:
        """f32[B,S,H·D] as heads f32[B,H,S,D]."""
        width = int(x.type.shape[-1]) // heads
        return self.do("nn.permute", self.do("nn.reshape", x, shape=("B", "S", heads, width)), axes=(0, 2, 1, 3))

    def heads(self, heads: int = 4, width: int = 4, scale: float = 1.0) -> Value:
        """Random heads f32[B,H,S,D]."""
        return self.split(self.floats(heads * width, scale), heads)

    def kept(self, x: Value, axis: int = 2) -> Value:
        """All entries of a value over time: a state."""
        past: Any = replace(x.type, shape=tuple("P" if d == "S" else d for d in x.type.shape))
        return self.do("state.append", x, axis=axis, state=self.state(f"kv{len(self.states)}", past))

    def whole(self, segments: Segments, width: int) -> NDArray[np.int64]:
        """Counts [ROWS, width] over the range of each segment's code, its ends among them, and a little beyond."""
        parts = []
        for s in segments:
            part = self.rng.integers(s.code.lo, s.code.hi + 1, (ROWS, s.stop - s.start))
            part *= self.rng.random(part.shape) < 0.8
            part[0, 0], part[1, 0] = s.code.hi + 2, min(s.code.lo, 0) - (s.code.lo < 0)
            parts.append(part)
        made = np.concatenate(parts, axis=1)
        assert made.shape[1] == width
        return made

    def counts(self, segments: Segments) -> tuple[Value, ...]:
        """Exact counts spikes[B,S,width] over the codes' ranges, a scale of 1 for each segment, and of unsigned codes
        the zero point."""
        values = self.whole(segments, segments[-1].stop)
        unsigned = segments[0].code.lo >= 0
        for s in segments if unsigned else ():
            values[:, s.start : s.stop] -= (s.code.hi + 1) // 2  # what the offset grid adds again
        grid = "offset" if unsigned else "symmetric"
        return self.both("spike.encode", self.table(values), code=_attr(segments), grid=grid, threshold="static")

    def spiked_heads(self, code: Any, heads: int = 2, width: int = 4, factor: float = 1.0) -> tuple[Value, Value]:
        """Exact counts spikes[B,H,S,width] and their scale f32[B,H,S,1], which is `factor`."""
        values = self.whole((Segment(0, heads * width, code),), heads * width)
        x = self.split(self.table(values * factor), heads)
        n, v = self.both("spike.encode", x, code=code, threshold="static", factor=factor)
        return n, v

    def integers(self, heads: int = 4, width: int = 4, bits: int = 8, signed: bool = True) -> tuple[Value, Value]:
        """Exact integers ints[B,H,S,width] and their scale f32[B,H,S,1], which is 1."""
        top = 2 ** (bits - signed) - 1
        values = self.rng.integers(-top if signed else 0, top + 1, (ROWS, heads, width))
        values[..., 0] = top * (self.rng.choice([-1, 1], (ROWS, heads)) if signed else 1)
        x = self.split(self.table(values.reshape(ROWS, heads * width)), heads)
        n, v = self.both("int.encode", x, bits=bits, signed=signed)
        return n, v

    def show(self, n: Value, one: Value, zero: Value | None = None) -> Value:
        """Counts (less a zero point) as floats, exactly: through a matrix of ones on its diagonal and scales of 1."""
        assert isinstance(n.type, Spikes)
        width = n.type.segments[-1].stop
        parts: dict[str, Any] = {"codes": np.eye(width, dtype=np.int8), "scales": np.ones((width, 1), dtype=np.float16)}
        of = GridWeight(8, width, False, (width, width))
        name = self.weight(self.store.put(f"eye{width}", of, parts))
        m = self.do("spike.linear", n, weights=[name])
        m = self.do("spike.center", m, zero, weights=[name]) if zero else m
        return self.do("spike.read_out", m, one, weights=[name])

    def ones(self, segments: int = 1) -> Value:
        """A scale of 1 for each of so many segments, f32[B,S,K]."""
        code = Ternary(1)
        parts = tuple(Segment(i, i + 1, code) for i in range(segments))
        return self.both("spike.encode", self.floats(segments), code=_attr(parts), threshold="static")[1]

    # ---- what comes out, and how it is compared ----

    def exact(self, *values: Value) -> None:
        """Integers, or floats that no order of additions can change."""
        self._see("exact", values)

    def close(self, *values: Value) -> None:
        """Floats, up to rounding."""
        self._see("close", values)

    def ties(self, *values: Value) -> None:
        """Counts of encoders that measured floats: near a rounding tie they may be one off."""
        self._see("ties", values)

    def _see(self, how: str, values: Sequence[Value]) -> None:
        self.seen.update({f"{how}{len(self.seen) + i}": v for i, v in enumerate(values)})

    def finish(self) -> Program:
        """The program."""
        return verify(self.program(self.seen, {"causal": True}))


def _attr(segments: Segments) -> Any:
    """The attribute `code` of an encoder."""
    return segments[0].code if len(segments) == 1 else segments


def with_op(program: Program, name: str, module: str) -> Program:
    """The program and one op more, which no table has."""
    odd = Op(name, (), (), loc=Loc(module))
    return Program(program.inputs, (*program.ops, odd), program.outputs, program.weights, program.states, program.meta)
