"""insert-encoders: floats become spike counts before every linear, and membranes are read out after it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ..ir import (
    CODES,
    Binary,
    Code,
    Dim,
    GridWeight,
    IRError,
    Op,
    Program,
    Rewriter,
    Tensor,
    Ternary,
    Value,
    parse_code,
)
from .base import Context, Pass, PassError
from .graph import body_linears


@dataclass(frozen=True)
class InsertEncoders(Pass):
    """spike.encode, spike.linear and spike.read_out in place of every linear but the head.

    grid=offset has `levels` + 1 codes around a zero point (15: the unsigned 4-bit grid), grid=symmetric codes from
    -levels to levels. threshold absmax takes V = factor·max|x|/N for each token, mean V = factor·mean|x|.
    code names another spike code with its fields, such as csd:8 or digit_ramp:6:4:10, on the symmetric grid with all
    the counts it can carry. overflow=widen raises V for tokens with larger counts; price weighs spikes against error
    when a count is chosen.
    attention=true spikes K and V as they are cached, with `attention_levels` on either side of zero, or in the code
    `attention_code`, and keeps queries and probabilities as integers of `operand_bits` (which operand is spiked is a
    reconstruction).
    """

    name = "insert-encoders"
    grid: str = "offset"
    levels: int = 15
    threshold: str = "absmax"
    factor: float = 1.0
    code: str = ""
    overflow: str = "saturate"
    price: float = 0.0
    attention: bool = True
    attention_levels: int = 7
    attention_code: str = ""
    operand_bits: int = 8

    def apply(self, program: Program, ctx: Context) -> Program:
        if any(op.name == "spike.encode" for op in program.ops):
            raise PassError("the program has encoders already; insert them once")
        code = self._code()
        body = {op.result.name for op in body_linears(program)}
        rewriter = Rewriter(program)
        encoded: dict[str, tuple[Value, ...]] = {}
        cached: dict[str, tuple[Value, Value]] = {}
        for op in program.ops:
            if op.result.name in body:
                x = rewriter.now(op.operands[0])
                if x.name not in encoded:
                    encoded[x.name] = rewriter.op(
                        "spike.encode",
                        x,
                        loc=op.loc,
                        code=code,
                        grid="symmetric" if self.code else self.grid,
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
                k, v = (self._encode(rewriter, op, rewriter.now(o)) for o in op.operands[1:3])
                self._attend(rewriter, op, k, v)
            else:
                rewriter.keep(op)
        return rewriter.done()

    def _code(self) -> Code:
        if self.code:
            return named_code(self.code)
        if self.grid == "offset" and self.levels >= 3 and self.levels % 2:
            return Binary(self.levels)
        if self.grid == "symmetric" and self.levels >= 1:
            return Ternary(self.levels)
        raise PassError("grid is offset with odd levels (15: four bits), or symmetric")

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

    def _encode(self, rewriter: Rewriter, op: Op, x: Value) -> tuple[Value, Value]:
        code = named_code(self.attention_code) if self.attention_code else Ternary(self.attention_levels)
        n, v = rewriter.op("spike.encode", x, loc=op.loc, code=code)
        return n, v

    def _cache(self, rewriter: Rewriter, op: Op) -> tuple[Value, Value]:
        assert op.state is not None
        made = []
        for value, suffix in zip(self._encode(rewriter, op, rewriter.now(op.operands[0])), ("", ".scale"), strict=True):
            shape: list[Dim] = list(value.type.shape)
            shape[op.attrs["axis"]] = "P"
            state = rewriter.state(op.state + suffix, replace(value.type, shape=tuple(shape)))
            made.append(rewriter.one("state.append", value, state=state, loc=op.loc, axis=op.attrs["axis"]))
        return made[0], made[1]

    def _attend(self, rewriter: Rewriter, op: Op, k: tuple[Value, Value], v: tuple[Value, Value]) -> None:
        """Scores and mixing as sums of integers; V's scale is folded into the probabilities before they round."""
        q, mask = rewriter.now(op.operands[0]), rewriter.now(op.operands[3])
        loc, heads, width = op.loc, q.type.shape[1], k[0].type.shape[1]
        assert isinstance(heads, int)
        assert isinstance(width, int)

        def row(scale: Value) -> Value:
            turned = rewriter.one("nn.permute", scale, loc=loc, axes=(0, 1, 3, 2))
            times = heads // width
            return rewriter.one("nn.repeat", turned, loc=loc, axis=1, times=times) if times > 1 else turned

        qi, qs = rewriter.op("int.encode", q, loc=loc, bits=self.operand_bits)
        scores = rewriter.one("spike.matmul", qi, k[0], loc=loc, transpose=True)
        scores = rewriter.one("spike.read_matmul", scores, qs, row(k[1]), loc=loc)
        if op.attrs["scale"] != 1.0:
            scores = rewriter.one("nn.scale", scores, loc=loc, by=op.attrs["scale"])
        masking = {name: op.attrs[name] for name in ("causal", "window", "softcap", "alibi")}
        weights = rewriter.one("nn.softmax", scores, mask, loc=loc, **masking)
        weights = rewriter.one("nn.mul", weights, row(v[1]), loc=loc)
        pi, ps = rewriter.op("int.encode", weights, loc=loc, bits=self.operand_bits, signed=False)
        mixed = rewriter.one("spike.matmul", pi, v[0], loc=loc)
        rewriter.replace(op.result, rewriter.one("spike.read_matmul", mixed, ps, loc=loc))


def named_code(text: str) -> Code:
    """`digit_ramp:6:4:10` as the code digit_ramp{high=6, shift=4, low=10}. Raises PassError."""
    name, *values = text.split(":")
    names = [f.name for f in fields(CODES[name])] if name in CODES else []
    inner = ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=False))
    try:
        if len(values) > len(names):
            raise IRError(f"{name} has the fields {', '.join(names)}" if names else f"there is no code '{name}'")
        code = parse_code(f"{name}{{{inner}}}")
    except IRError as error:
        raise PassError(f"code={text}: {error}") from error
    if code.lo >= 0:
        raise PassError(f"code={text}: has no negative counts, which the symmetric grid needs")
    return code
