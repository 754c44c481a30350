"""fold-scales: constant multiplies go into the weights before them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..ir import Op, Program, Rewriter, Value
from .base import Context, Pass
from .graph import is_float

# f(s·x) = s·f(x): a scale may be moved from behind these to before them.
_HOMOGENEOUS = ("nn.permute", "nn.reshape", "nn.rope", "nn.rotate", "nn.repeat")


@dataclass
class _Plan:
    weights: dict[str, float] = field(default_factory=dict)
    """Factor of each weight (matrix, bias, gain or table)."""
    gone: set[str] = field(default_factory=set)
    """Results of nn.scale ops that are no longer needed."""
    attends: set[str] = field(default_factory=set)
    """Results of nn.attend ops whose scale becomes 1."""


@dataclass(frozen=True)
class FoldScales(Pass):
    """Constant multiplies (attention scale, residual and embedding multipliers) into the weights before them.

    What is left is one multiply for each output and weight group, at read-out. Weights must not be on a grid yet.
    """

    name = "fold-scales"
    exact = True

    def apply(self, program: Program, ctx: Context) -> Program:
        plan = _Plan()
        for op in program.ops:
            if op.name == "nn.scale" and self._absorb(program, ctx, plan, op.operands[0], op, op.attrs["by"]):
                plan.gone.add(op.result.name)
            elif op.name == "nn.attend" and op.attrs["scale"] != 1.0:
                taken = self._absorb(program, ctx, plan, op.operands[0], op, op.attrs["scale"])
                plan.attends.update({op.result.name} if taken else ())
        return self._rewrite(program, ctx, plan)

    def _absorb(self, program: Program, ctx: Context, plan: _Plan, value: Value, reader: Op, by: float) -> bool:
        """Find the weights behind a value that can take the factor; nothing is planned unless all of them can."""
        users, makers = program.users(), program.producers()
        module = reader.loc.module
        while True:
            reads = [o for user in users[value.name] for o in user.operands if o.name == value.name]
            if len(reads) != 1 or value in program.outputs.values():
                ctx.note(module, f"scale {by:g} kept: {value} has other readers")
                return False
            op = makers.get(value.name)
            if op is None or op.name not in _HOMOGENEOUS:
                break
            value = op.operands[0]
        names = _scalable(op) if op is not None else ()
        single = all(len(program.weight_users()[n]) == 1 and n not in plan.weights for n in names)
        if not names or op is None or not single or not is_float(program, op):
            ctx.note(module, f"scale {by:g} kept: {op.name if op else 'an input'} before it cannot take it")
            return False
        plan.weights.update(dict.fromkeys(names, by))
        ctx.note(module, f"scale {by:g} folded into @{names[0]}")
        return True

    def _rewrite(self, program: Program, ctx: Context, plan: _Plan) -> Program:
        rewriter = Rewriter(program)
        for name, by in plan.weights.items():
            values = ctx.store.floats(program.weights[name])
            offset = next((u.attrs.get("gain_offset", 0.0) for u in program.weight_users()[name]), 0.0)
            scaled = (values + np.float32(offset)) * np.float32(by) - np.float32(offset)
            rewriter.set_weight(ctx.store.put_float(name, scaled))
        for op in program.ops:
            if op.result.name in plan.gone:
                rewriter.replace(op.result, rewriter.now(op.operands[0]))
            elif op.result.name in plan.attends:
                rewriter.keep(op, scale=1.0)
            else:
                rewriter.keep(op)
        return rewriter.done()


def _scalable(op: Op) -> tuple[str, ...]:
    if op.name in ("nn.linear", "nn.embed", "nn.layer_norm"):
        return op.weights
    return op.weights if op.name == "nn.rms_norm" else ()
