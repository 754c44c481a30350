"""insert-encoders: floats become spike counts before every linear, and membranes are read out after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..ir import (
    Binary,
    Code,
    Dim,
    GridWeight,
    Op,
    Program,
    Rewriter,
    Segment,
    Tensor,
    Ternary,
    Value,
)
from .base import Context, Pass, PassError
from .graph import body_linears
from .named import named_code


@dataclass(frozen=True)
class InsertEncoders(Pass):
    """spike.encode, spike.linear and spike.read_out in place of every linear but the head.

    grid=offset has `levels` + 1 codes around a zero point (15: the unsigned 4-bit grid), grid=symmetric codes from
    -levels to levels, grid=asymmetric `levels` + 1 codes between the least and the greatest value of each token.
    threshold absmax takes V = factor·max|x|/N for each token, mean V = factor·mean|x|.
    code names another spike code with its fields, such as csd:8 or digit_ramp:6:4:10, with all the counts it can
    carry, on the symmetric grid, or on the asymmetric one if it has no negative counts (gif:16:1). overflow=widen
    raises V for tokens with larger counts; price weighs spikes against error when a count is chosen.
    salient is the code of channels that allocate-steps set apart, on a grid of their own up to `salient_levels` (0:
    what the code carries; more than that saturates: two spikes of 15 do not make 31).
    attention=true spikes K and V as they are cached, with `attention_levels` on either side of zero, or in the code
    `attention_code` (`attention_salient` for channels set apart), and keeps queries and probabilities as integers of
    `operand_bits` (which operand is spiked is a reconstruction).
    """

    name = "insert-encoders"
    grid: str = "offset"
    levels: int = 15
    threshold: str = "absmax"
    factor: float = 1.0
    code: str = ""
    overflow: str = "saturate"
    price: float = 0.0
    salient: str = ""
    salient_levels: int = 0
    attention: bool = True
    attention_levels: int = 7
    attention_code: str = ""
    attention_salient: str = ""
    operand_bits: int = 8

    def apply(self, program: Program, ctx: Context) -> Program:
        if any(op.name == "spike.encode" for op in program.ops):
            raise PassError("the program has encoders already; insert them once")
        code = self._code()
        grid = ("symmetric" if code.lo < 0 else "asymmetric") if self.code else self.grid
        salient = self._salient(program, grid)
        body = {op.result.name for op in body_linears(program)}
        rewriter = Rewriter(program)
        encoded: dict[str, tuple[Value, ...]] = {}
        cached: dict[str, list[tuple[Value, Value]]] = {}
        for op in program.ops:
            if op.result.name in body:
                x = rewriter.now(op.operands[0])
                if x.name not in encoded:
                    encoded[x.name] = rewriter.op(
                        "spike.encode",
                        x,
                        loc=op.loc,
                        **_segments(code, salient, self.salient_levels, x, _apart(rewriter, x)),
                        grid=grid,
                        threshold=self.threshold,
                        factor=self.factor,
                        overflow=self.overflow,
                        price=self.price,
                    )
                self._linear(rewriter, op, encoded[x.name])
            elif op.name == "state.append" and self.attention and isinstance(op.operands[0].type, Tensor):
                cached[op.result.name] = self._cache(rewriter, op)
            elif op.name == "nn.attend" and op.operands[1].name in cached:
                self._attend(rewriter, op, cached[op.operands[1].name], cached[op.operands[2].name])
            elif op.name == "nn.attend" and self.attention and not op.attrs["causal"]:
                k, v = (self._encode(rewriter, op, rewriter.now(o), self._cached_code()) for o in op.operands[1:3])
                self._attend(rewriter, op, [k], [v])
            else:
                rewriter.keep(op)
        return rewriter.done()

    def _code(self) -> Code:
        if self.code:
            return named_code(self.code, unsigned=True)
        if self.grid == "offset" and self.levels >= 3 and self.levels % 2:
            return Binary(self.levels)
        if self.grid == "symmetric" and self.levels >= 1:
            return Ternary(self.levels)
        if self.grid == "asymmetric" and self.levels >= 1:
            return Binary(self.levels)
        raise PassError("grid is offset with odd levels (15: four bits), symmetric or asymmetric")

    def _salient(self, program: Program, grid: str) -> Code | None:
        """The code of channels set apart. Raises PassError where there are none, or it does not suit the grid."""
        if not (self.salient or self.attention_salient):
            return None
        if not any(op.name == "nn.set_apart" for op in program.ops):
            raise PassError("no channels are set apart for salient steps; run allocate-steps before")
        if not self.salient:
            return None
        code = named_code(self.salient, unsigned=True)
        if (code.lo < 0) != (grid == "symmetric"):
            raise PassError(f"salient={self.salient} does not suit the {grid} grid of the other channels")
        return code

    def _cached_code(self) -> Code:
        return named_code(self.attention_code) if self.attention_code else Ternary(self.attention_levels)

    def _linear(self, rewriter: Rewriter, op: Op, encoded: tuple[Value, ...]) -> None:
        n, v, *zero = encoded
        weight = op.weights[:1]
        membrane = rewriter.one("spike.linear", n, weights=weight, loc=op.loc)
        if zero:
            membrane = rewriter.one("spike.center", membrane, zero[0], weights=weight, loc=op.loc)
        operands = [membrane, v]
        of = rewriter.weights[op.weights[0]].type
        if isinstance(of, GridWeight) and of.minimum:
            operands.append(rewriter.one("spike.sum", n, *zero, weights=weight, loc=op.loc))
        y = rewriter.one("spike.read_out", *operands, weights=op.weights, loc=op.loc)
        rewriter.replace(op.result, y)

    def _encode(self, rewriter: Rewriter, op: Op, x: Value, code: Code) -> tuple[Value, Value]:
        n, v = rewriter.op("spike.encode", x, loc=op.loc, code=code)
        return n, v

    def _cache(self, rewriter: Rewriter, op: Op) -> list[tuple[Value, Value]]:
        """Counts and scales of the past and present: those of channels set apart, if any are, and of the others.

        They go by themselves, since in A·V each has its scale folded into probabilities of its own.
        """
        assert op.state is not None
        x, apart = rewriter.now(op.operands[0]), 0
        if self.attention_salient:
            apart = _apart(rewriter, x)
        parts = [(x, self._cached_code(), "")]
        if apart:
            salient, rest = _split(rewriter, op, x, apart)
            parts = [(salient, named_code(self.attention_salient), ".salient"), (rest, self._cached_code(), "")]
        found = []
        for part, code, name in parts:
            made = []
            for value, suffix in zip(self._encode(rewriter, op, part, code), ("", ".scale"), strict=True):
                shape: list[Dim] = list(value.type.shape)
                shape[op.attrs["axis"]] = "P"
                state = rewriter.state(op.state + name + suffix, replace(value.type, shape=tuple(shape)))
                made.append(rewriter.one("state.append", value, state=state, loc=op.loc, axis=op.attrs["axis"]))
            found.append((made[0], made[1]))
        return found

    def _attend(
        self, rewriter: Rewriter, op: Op, keys: list[tuple[Value, Value]], values: list[tuple[Value, Value]]
    ) -> None:
        """Scores and mixing as sums of integers; V's scale is folded into the probabilities before they round."""
        q, mask = rewriter.now(op.operands[0]), rewriter.now(op.operands[3])
        loc, heads, width = op.loc, q.type.shape[1], keys[0][0].type.shape[1]
        assert isinstance(heads, int)
        assert isinstance(width, int)

        def row(scale: Value) -> Value:
            turned = rewriter.one("nn.permute", scale, loc=loc, axes=(0, 1, 3, 2))
            times = heads // width
            return rewriter.one("nn.repeat", turned, loc=loc, axis=1, times=times) if times > 1 else turned

        def product(queries: Value, k: tuple[Value, Value]) -> Value:
            qi, qs = rewriter.op("int.encode", queries, loc=loc, bits=self.operand_bits)
            sums = rewriter.one("spike.matmul", qi, k[0], loc=loc, transpose=True)
            return rewriter.one("spike.read_matmul", sums, qs, row(k[1]), loc=loc)

        def mix(weights: Value, v: tuple[Value, Value]) -> Value:
            weights = rewriter.one("nn.mul", weights, row(v[1]), loc=loc)
            pi, ps = rewriter.op("int.encode", weights, loc=loc, bits=self.operand_bits, signed=False)
            mixed = rewriter.one("spike.matmul", pi, v[0], loc=loc)
            return rewriter.one("spike.read_matmul", mixed, ps, loc=loc)

        if len(keys) == 1:
            scores = product(q, keys[0])
        else:
            apart = keys[0][0].type.shape[-1]
            assert isinstance(apart, int)
            parts = [product(x, k) for x, k in zip(_split(rewriter, op, q, apart), keys, strict=True)]
            scores = rewriter.one("nn.add", *parts, loc=loc)
        if op.attrs["scale"] != 1.0:
            scores = rewriter.one("nn.scale", scores, loc=loc, by=op.attrs["scale"])
        masking = {name: op.attrs[name] for name in ("causal", "window", "softcap", "alibi")}
        weights = rewriter.one("nn.softmax", scores, mask, loc=loc, **masking)
        made = [mix(weights, v) for v in values]
        mixed = made[0] if len(made) == 1 else rewriter.one("nn.concat", *made, loc=loc, axis=3)
        rewriter.replace(op.result, mixed)


def _apart(rewriter: Rewriter, x: Value) -> int:
    """How many channels at the front of a value were set apart."""
    maker = next((op for op in reversed(rewriter.ops) if x in op.results), None)
    return len(maker.attrs["channels"]) if maker and maker.name == "nn.set_apart" and not maker.attrs["back"] else 0


def _segments(code: Code, salient: Code | None, levels: int, x: Value, apart: int) -> dict[str, Any]:
    """Attributes of an encoder: one code, or that of the channels set apart and that of the others."""
    width = x.type.shape[-1]
    assert isinstance(width, int)
    if salient is None or not apart:
        return {"code": code}
    first = Segment(0, apart, salient)
    if apart == width:
        return {"code": (first,), "levels": levels}
    return {"code": (first, Segment(apart, width, code)), "levels": (levels, 0) if levels else 0}


def _split(rewriter: Rewriter, op: Op, x: Value, apart: int) -> tuple[Value, Value]:
    """The first channels, and the others."""
    width = x.type.shape[-1]
    assert isinstance(width, int)
    first, rest = (
        rewriter.one("nn.slice", x, loc=op.loc, axis=len(x.type.shape) - 1, start=start, stop=stop)
        for start, stop in ((0, apart), (apart, width))
    )
    return first, rest
