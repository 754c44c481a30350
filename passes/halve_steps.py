"""halve-steps: unsigned spikes over an offset grid become signed ones over the symmetric grid, in half the steps."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Binary, Op, Program, Rewriter, Ternary
from .base import Context, Pass, PassError


@dataclass(frozen=True)
class HalveSteps(Pass):
    """binary{T=2N+1} with zero point N+1 becomes ternary{T=N}: same scale, n = q - (N+1), half the time steps.

    Every count stays what it was, except that q = 0, which stands for -(N+1), becomes -N. The correction of the zero
    point (spike.center) goes away.
    """

    name = "halve-steps"

    def apply(self, program: Program, ctx: Context) -> Program:
        if not any(op.name == "spike.encode" for op in program.ops):
            raise PassError("the program has no encoders; run insert-encoders first")
        if not any(_halvable(op) for op in program.ops):
            ctx.note("", "halve-steps: no encoder has unsigned unary spikes on an offset grid, so nothing is halved")
        rewriter = Rewriter(program)
        zeros: set[str] = set()
        for op in program.ops:
            if _halvable(op):
                n, v, z = op.results
                top = (op.attrs["code"].hi + 1) // 2 - 1
                attrs = {**op.attrs, "code": Ternary(top), "grid": "symmetric"}
                made = rewriter.op(op.name, rewriter.now(op.operands[0]), loc=op.loc, **attrs)
                rewriter.replace(n, made[0])
                rewriter.replace(v, made[1])
                zeros.add(z.name)
                ctx.note(op.loc.module, f"{op.attrs['code']} to {Ternary(top)}")
            elif op.name == "spike.center" and op.operands[1].name in zeros:
                rewriter.replace(op.result, rewriter.now(op.operands[0]))
            elif op.name == "spike.sum" and len(op.operands) == 2 and op.operands[1].name in zeros:
                summed = rewriter.one(op.name, rewriter.now(op.operands[0]), weights=op.weights, loc=op.loc)
                rewriter.replace(op.result, summed)
            else:
                rewriter.keep(op)
        return rewriter.done()


def _halvable(op: Op) -> bool:
    if op.name != "spike.encode" or op.attrs["grid"] != "offset":
        return False
    code = op.attrs["code"]
    return isinstance(code, Binary) and op.attrs["levels"] in (0, (code.hi + 1) // 2 - 1)
