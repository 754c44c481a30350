"""quantize-weights: matrices onto uniform grids of few bits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import GridWeight, Op, Program, Rewriter, RowWeight
from .base import Context, Pass, PassError
from .graph import body_linears, heads, is_float, new_floats, new_weight
from .grids import Parts, gptq, inverse_factor, round_to_nearest
from .omniquant import PRESETS, Learned, Learning, omniquant
from .rows import rows_on_one_scale


@dataclass(frozen=True)
class QuantizeWeights(Pass):
    """Weights of every linear onto a grid of `bits` bits, per channel (group=0) or with a scale for `group` inputs.

    method rtn rounds to nearest; gptq spreads rounding errors by the inputs' second moments on calibration text;
    omniquant learns, block by block, how much of each group's range to clip and, where `activations` of so many bits
    are in the loop (`salient` for channels set apart), scales of the channels between norm or up-projection and the
    next linears. preset says how long: published (20 epochs, 128 sequences), hour (15, 32) or tiny (2, 4).
    minimum=true gives each group a minimum as well (as Q4_1 has). rows=true gives each group an integer step and
    offset on one scale a row, so that a row needs one membrane and one multiply whatever its groups; a model that
    comes from a Q4_1 file keeps its own grid under rtn with bits=4, group=32 and either of the two. The head stays
    float unless head_bits is given.
    """

    name = "quantize-weights"
    method: str = "rtn"
    bits: int = 4
    group: int = 0
    minimum: bool = False
    rows: bool = False
    search: bool = True
    damp: float = 0.01
    preset: str = "hour"
    epochs: int = 0
    lwc_lr: float = 1e-2
    let_lr: float = 1e-3
    alpha: float = 0.75
    activations: int = 0
    salient: int = 0
    head_bits: int = 0

    def apply(self, program: Program, ctx: Context) -> Program:
        if self.method not in ("rtn", "gptq", "omniquant"):
            raise PassError(f"method={self.method} is none of rtn, gptq, omniquant")
        most = 7 if self.minimum else 8
        if not 2 <= self.bits <= most or not (self.head_bits == 0 or 2 <= self.head_bits <= most):
            raise PassError(f"bits are 2 to {most}{' beside a minimum' * self.minimum}")
        if self.rows and (self.method != "rtn" or self.minimum or max(self.bits, self.head_bits) > 7):
            raise PassError("rows=true goes with method=rtn, up to 7 bits, and has minima of its own")
        if self.group < 0 or not 0 < self.damp < math.inf:
            raise PassError("group is 0 or more, damp more than 0")
        body = [op for op in body_linears(program) if is_float(program, op)]
        out = heads(program) if self.head_bits else set()
        wanted = {op.result.name: self.bits for op in body}
        wanted.update({op.result.name: self.head_bits for op in program.ops if op.result.name in out})
        _check_stage(program, set(wanted))
        moments = _second_moments(program, ctx, body) if self.method == "gptq" and body else {}
        learned = self._learned(program, ctx, body) if self.method == "omniquant" and body else Learned({}, {}, {})
        rewriter = Rewriter(program)
        source, factor = "", None
        for op in program.ops:
            if op.result.name in learned.gains:
                rewriter.keep(new_floats(rewriter, ctx, op, 0, learned.gains[op.result.name]))
                continue
            if op.result.name in learned.parts:
                matrix = program.weights[op.weights[0]].type
                assert len(matrix.shape) == 2
                parts = learned.parts[op.result.name]
                made = new_weight(rewriter, ctx, op, 0, self._grid(matrix.shape), parts)
                if op.result.name in learned.biases:
                    made = new_floats(rewriter, ctx, made, 1, learned.biases[op.result.name])
                rewriter.keep(made)
                continue
            if op.result.name not in wanted or not is_float(program, op):
                rewriter.keep(op)
                continue
            ctx.progress(len(rewriter.ops), len(program.ops), "matrices quantised")
            if op.operands[0].name != source:  # matrices of one input follow each other, and share its factor
                source = op.operands[0].name
                factor = self._factor(op, moments[source]) if source in moments else None
            of, parts = self._quantised(
                ctx.store.floats(program.weights[op.weights[0]]), wanted[op.result.name], factor
            )
            rewriter.keep(new_weight(rewriter, ctx, op, 0, of, parts))
        return rewriter.done()

    def _grid(self, shape: tuple[int, int]) -> GridWeight:
        return GridWeight(self.bits, self.group if 0 < self.group < shape[1] else shape[1], self.minimum, shape)

    def _learned(self, program: Program, ctx: Context, body: list[Op]) -> Learned:
        if self.preset not in PRESETS:
            raise PassError(f"preset={self.preset} is none of {', '.join(PRESETS)}")
        rates = (self.lwc_lr, self.let_lr, self.alpha)
        if self.epochs < 0 or not all(0 < rate < math.inf for rate in rates) or self.alpha > 1:
            raise PassError("epochs is 0 or more (0: the preset's), rates more than 0, alpha at most 1")
        if not (0 <= self.activations <= 8 and 0 <= self.salient <= 10):
            raise PassError("activations are 0 (float) to 8 bits, salient 0 to 10")
        epochs, sequences = PRESETS[self.preset]
        how = Learning(self.epochs or epochs, sequences, *rates, self.activations, self.salient)
        return omniquant(program, ctx, body, self._grid, how)

    def _factor(self, op: Op, moments: torch.Tensor) -> torch.Tensor:
        try:
            return inverse_factor(moments, self.damp)
        except RuntimeError as error:  # torch keeps its LinAlgError out of its types
            raise PassError(
                f"{op.loc.module}: its inputs' moments have no inverse; give damp more than {self.damp}"
            ) from error

    def _quantised(
        self, matrix: NDArray[np.float32], bits: int, factor: torch.Tensor | None
    ) -> tuple[GridWeight | RowWeight, Parts]:
        out, inputs = matrix.shape
        if self.rows:
            rows = RowWeight(bits, self.group if 0 < self.group < inputs else inputs, (out, inputs))
            return rows, rows_on_one_scale(matrix, rows, search=self.search)
        of = GridWeight(bits, self.group if 0 < self.group < inputs else inputs, self.minimum, (out, inputs))
        if factor is None:
            return of, round_to_nearest(matrix, of, search=self.search)
        return of, gptq(matrix, of, factor)


def _check_stage(program: Program, wanted: set[str]) -> None:
    """Raises PassError where this pass would leave matrices as they are without a word."""
    if any(op.name == "spike.linear" and is_float(program, op) for op in program.ops):
        raise PassError("spikes meet float weights already; run quantize-weights before insert-encoders")
    if not any(op.result.name in wanted and is_float(program, op) for op in program.ops):
        raise PassError("every matrix is quantised already; quantize once")


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
