"""quantize-weights: matrices onto uniform grids of few bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..ir import GridWeight, Op, Program, Rewriter, Weight
from .base import Context, Pass, PassError
from .graph import body_linears, heads, is_float, own_name
from .grids import gptq, inverse_factor, round_to_nearest


@dataclass(frozen=True)
class QuantizeWeights(Pass):
    """Weights of every linear onto a grid of `bits` bits, per channel (group=0) or with a scale for `group` inputs.

    method rtn rounds to nearest; gptq spreads rounding errors by the inputs' second moments on calibration text.
    minimum=true gives each group a minimum as well (as Q4_1 has). The head stays float unless head_bits is given.
    """

    name = "quantize-weights"
    method: str = "rtn"
    bits: int = 4
    group: int = 0
    minimum: bool = False
    search: bool = True
    damp: float = 0.01
    head_bits: int = 0

    def apply(self, program: Program, ctx: Context) -> Program:
        if self.method not in ("rtn", "gptq"):
            raise PassError(f"quantize-weights: method={self.method} is none of rtn, gptq")
        if not 2 <= self.bits <= 8 or not (self.head_bits == 0 or 2 <= self.head_bits <= 8):
            raise PassError("quantize-weights: bits are 2 to 8")
        body = [op for op in body_linears(program) if is_float(program, op)]
        moments = _second_moments(program, ctx, body) if self.method == "gptq" else {}
        made: dict[str, Weight] = {}
        source, factor = "", None
        for index, op in enumerate(body):
            ctx.progress(index, len(body), "matrices quantised")
            if (
                moments and op.operands[0].name != source
            ):  # matrices of one input follow each other, and share its factor
                source = op.operands[0].name
                factor = inverse_factor(moments[source], self.damp)
            made[op.result.name] = self._quantise(program, ctx, op, self.bits, factor)
        if self.head_bits:
            for op in program.ops:
                if op.result.name in heads(program) and is_float(program, op):
                    made[op.result.name] = self._quantise(program, ctx, op, self.head_bits, None)
        rewriter = Rewriter(program)
        for op in program.ops:
            weight = made.get(op.result.name)
            if weight is None:
                rewriter.keep(op)
            else:
                rewriter.keep(replace(op, weights=(rewriter.set_weight(weight), *op.weights[1:])))
        return rewriter.done()

    def _quantise(self, program: Program, ctx: Context, op: Op, bits: int, factor: torch.Tensor | None) -> Weight:
        matrix = ctx.store.floats(program.weights[op.weights[0]])
        out, inputs = matrix.shape
        of = GridWeight(bits, self.group if 0 < self.group < inputs else inputs, self.minimum, (out, inputs))
        name = own_name(program, op)
        if name != op.weights[0]:
            ctx.note(op.loc.module, f"unties @{op.weights[0]}: its quantised copy is @{name}")
        if factor is None:
            return ctx.store.put(name, of, round_to_nearest(matrix, of, search=self.search))
        return ctx.store.put(name, of, gptq(matrix, of, factor))


def _second_moments(program: Program, ctx: Context, linears: list[Op]) -> dict[str, torch.Tensor]:
    """Σ x xᵀ over calibration tokens of each value that feeds one of these linears: float64 [in, in]."""
    wanted = {op.operands[0].name for op in linears}
    first = {op.operands[0].name: op.result.name for op in reversed(linears)}
    sums: dict[str, torch.Tensor] = {}

    def watch(op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        name = op.operands[0].name if op.operands else ""
        if op.name != "nn.linear" or name not in wanted or first[name] != op.result.name:
            return
        x = operands[0].reshape(-1, operands[0].shape[-1])
        sums[name] = sums.get(name, torch.zeros(())) + (x.T @ x).double()

    ctx.observe(program, watch)
    return sums
