"""quantize-weights: matrices onto uniform grids of few bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import GridWeight, Op, Program, Rewriter
from .base import Context, Pass, PassError
from .graph import body_linears, heads, is_float, new_weight
from .grids import Parts, gptq, inverse_factor, round_to_nearest


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
        wanted = {op.result.name: self.bits for op in body}
        if self.head_bits:
            out = heads(program)
            wanted.update({op.result.name: self.head_bits for op in program.ops if op.result.name in out})
        rewriter = Rewriter(program)
        source, factor = "", None
        for op in program.ops:
            if op.result.name not in wanted or not is_float(program, op):
                rewriter.keep(op)
                continue
            ctx.progress(len(rewriter.ops), len(program.ops), "matrices quantised")
            if op.operands[0].name != source:  # matrices of one input follow each other, and share its factor
                source = op.operands[0].name
                factor = inverse_factor(moments[source], self.damp) if source in moments else None
            of, parts = self._quantised(
                ctx.store.floats(program.weights[op.weights[0]]), wanted[op.result.name], factor
            )
            rewriter.keep(new_weight(rewriter, ctx, op, 0, of, parts))
        return rewriter.done()

    def _quantised(
        self, matrix: NDArray[np.float32], bits: int, factor: torch.Tensor | None
    ) -> tuple[GridWeight, Parts]:
        out, inputs = matrix.shape
        of = GridWeight(bits, self.group if 0 < self.group < inputs else inputs, self.minimum, (out, inputs))
        if factor is None:
            return of, round_to_nearest(matrix, of, search=self.search)
        return of, gptq(matrix, of, factor)


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
