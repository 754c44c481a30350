"""rotate: an orthogonal change of basis spreads outliers over channels, so that thresholds fit all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..ir import Loc, Op, Program, Rewriter, Value
from .base import Context, Pass, PassError
from .graph import new_floats
from .rotation import Rotation, rotation
from .stream import Stream, residual_stream

Array = NDArray[np.float32]
Spin = Callable[[Array], Array]


@dataclass(frozen=True)
class Rotate(Pass):
    """Orthogonal rotation of the residual stream and of head and MLP inner bases.

    Folded into weights where that is exact. Where it is not (the MLP's inner activations, queries and keys after
    RoPE) an online nn.rotate is put in, which every cost counts. The stream's rotation is refused under LayerNorm,
    post-norms and gains that were not folded (run fold-norms first); with strict=false it is left out and noted.
    """

    name = "rotate"
    exact = True
    residual: bool = True
    heads: bool = True
    mlp: bool = True
    keys: bool = True
    seed: int = 0
    strict: bool = True

    def apply(self, program: Program, ctx: Context) -> Program:
        if self.seed < 0:
            raise PassError(f"seed={self.seed} must be 0 or more")
        if self.residual:
            program = self._residual(program, ctx)
        if self.heads:
            program = self._heads(program, ctx)
        if self.mlp:
            program = self._mlp(program, ctx)
        return self._keys(program, ctx) if self.keys else program

    def _residual(self, program: Program, ctx: Context) -> Program:
        stream = residual_stream(program)
        if stream.refused and self.strict:
            raise PassError(f"{stream.refused}; leave the residual stream out with rotate{{residual=false}}")
        if stream.refused:
            ctx.note("", f"residual stream not rotated: {stream.refused}")
            return program
        turn = rotation(stream.width, self.seed)
        signs = np.random.default_rng(self.seed + 1).choice(np.array([-1.0, 1.0], dtype=np.float32), stream.width)

        def spin(x: Array) -> Array:
            return turn.apply(x * signs)

        rewriter = Rewriter(program)
        for op in program.ops:
            if op.result.name in stream.makers or op.result.name in stream.readers:
                rewriter.keep(_turned(program, ctx, rewriter, op, stream, spin))
            else:
                rewriter.keep(op)
        ctx.note("", f"residual stream of {stream.width} rotated: Hadamard {turn.hadamard} x {len(turn.factor)}")
        return rewriter.done()

    def _heads(self, program: Program, ctx: Context) -> Program:
        """Values and the next projection share a basis of their own in each head: v·R and o·R, exactly."""
        before: dict[str, Rotation] = {}
        after: dict[str, Rotation] = {}
        for op in program.ops:
            if op.name != "nn.attend":
                continue
            v = _behind(program, op.operands[2], ("state.append", "nn.permute", "nn.reshape"))
            o = _ahead(program, op.result, ("nn.permute", "nn.reshape"))
            if v is None or o is None or not _whole_heads(v, op):
                ctx.note(op.loc.module, "values not rotated: no plain projection before and after attention")
                continue
            before[v.result.name] = after[o.result.name] = rotation(_width(op.result), self.seed)
        rewriter = Rewriter(program)
        for op in program.ops:
            changed = op
            for index, name in enumerate(op.weights):
                w = ctx.store.floats(program.weights[name]) if op.result.name in {**before, **after} else None
                if w is not None and op.result.name in before:
                    w = _rows_by_head(before[op.result.name], w)
                if w is not None and op.result.name in after and index == 0:
                    w = _columns_by_head(after[op.result.name], w)
                if w is not None:
                    changed = new_floats(rewriter, ctx, changed, index, w)
            rewriter.keep(changed)
        return rewriter.done()

    def _mlp(self, program: Program, ctx: Context) -> Program:
        rewriter, makers = Rewriter(program), program.producers()
        for op in program.ops:
            before = makers.get(op.operands[0].name) if op.name == "nn.linear" else None
            if before is None or before.name not in ("nn.mul", "nn.activation"):
                rewriter.keep(op)
                continue
            matrix = ctx.store.floats(program.weights[op.weights[0]])
            turn = rotation(matrix.shape[1], self.seed)
            turned = _online(rewriter, ctx, rewriter.now(op.operands[0]), turn, op.loc)
            rewriter.keep(replace(new_floats(rewriter, ctx, op, 0, turn.apply(matrix)), operands=(turned,)))
            ctx.note(op.loc.module, f"input of {matrix.shape[1]} rotated online")
        return rewriter.done()

    def _keys(self, program: Program, ctx: Context) -> Program:
        rewriter, makers = Rewriter(program), program.producers()
        keys = {}
        for op in program.ops:
            if op.name == "nn.attend":
                source = makers.get(op.operands[1].name)
                if source is not None and source.name == "state.append":
                    keys[source.result.name] = op.loc
        for op in program.ops:
            if op.result.name in keys:
                turned = self._turn_head(rewriter, ctx, op.operands[0], op.loc)
                rewriter.keep(replace(op, operands=(turned,)))
            elif op.name == "nn.attend" and op.operands[1].name in keys:
                turned = self._turn_head(rewriter, ctx, op.operands[0], op.loc)
                rewriter.keep(replace(op, operands=(turned, *op.operands[1:])))
            else:
                rewriter.keep(op)
        return rewriter.done()

    def _turn_head(self, rewriter: Rewriter, ctx: Context, value: Value, loc: Loc) -> Value:
        return _online(rewriter, ctx, rewriter.now(value), rotation(_width(value), self.seed), loc)


def _online(rewriter: Rewriter, ctx: Context, value: Value, turn: Rotation, loc: Loc) -> Value:
    names = []
    if len(turn.factor) > 1:
        names.append(rewriter.set_weight(ctx.store.put_float(turn.name, turn.factor)))
    return rewriter.one("nn.rotate", value, weights=names, loc=loc, hadamard=turn.hadamard)


def _turned(program: Program, ctx: Context, rewriter: Rewriter, op: Op, stream: Stream, spin: Spin) -> Op:
    matrix = ctx.store.floats(program.weights[op.weights[0]])
    if op.result.name in stream.readers:
        matrix = spin(matrix)
    if op.result.name not in stream.makers:
        return new_floats(rewriter, ctx, op, 0, matrix)
    turned = new_floats(rewriter, ctx, op, 0, spin(matrix) if op.name == "nn.embed" else spin(matrix.T).T)
    if len(op.weights) == 2:
        turned = new_floats(rewriter, ctx, turned, 1, spin(ctx.store.floats(program.weights[op.weights[1]])))
    return turned


def _rows_by_head(turn: Rotation, w: Array) -> Array:
    """Outputs of a projection (rows, or a bias) rotated head by head."""
    heads = w.reshape(-1, turn.width, *w.shape[1:])
    return np.moveaxis(turn.apply(np.moveaxis(heads, 1, -1)), -1, 1).reshape(w.shape)


def _columns_by_head(turn: Rotation, w: Array) -> Array:
    """Inputs of a projection rotated head by head."""
    return turn.apply(w.reshape(len(w), -1, turn.width)).reshape(w.shape)


def _width(value: Value) -> int:
    width = value.type.shape[-1]
    assert isinstance(width, int)
    return width


def _behind(program: Program, value: Value, through: tuple[str, ...]) -> Op | None:
    """The linear behind a value, if nothing else reads it or what lies between."""
    makers, users = program.producers(), program.users()
    while len(users[value.name]) == 1:
        op = makers.get(value.name)
        if op is None or op.name not in through:
            return op if op is not None and op.name == "nn.linear" else None
        value = op.operands[0]
    return None


def _ahead(program: Program, value: Value, through: tuple[str, ...]) -> Op | None:
    """The linear that alone reads a value, through what lies between."""
    users = program.users()
    while len(users[value.name]) == 1:
        (op,) = users[value.name]
        if op.name not in through:
            return op if op.name == "nn.linear" else None
        value = op.result
    return None


def _whole_heads(v: Op, attend: Op) -> bool:
    """Whether a projection makes the values of all heads and nothing else."""
    heads = attend.operands[2].type.shape[1]
    assert isinstance(heads, int)
    return _width(v.result) == heads * _width(attend.result)
