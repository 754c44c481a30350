"""quantize-weights: matrices onto uniform grids of few bits."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import GridWeight, Op, Program, Rewriter, RowWeight, Segment
from .base import Context, Pass, PassError
from .graph import body_linears, heads, is_float, new_floats, new_weight
from .grids import Parts, gptq, inverse_factor, round_to_nearest
from .named import named_code
from .omniquant import PRESETS, Learned, Learning, omniquant
from .rows import rows_on_one_scale


@dataclass(frozen=True)
class QuantizeWeights(Pass):
    """Weights of every linear onto a grid of `bits` bits, per channel (group=0) or with a scale for `group` inputs.

    method rtn rounds to nearest; gptq spreads rounding errors by the inputs' second moments on calibration text, and
    with costly=true chooses scales by what an error costs the outputs then, not the weights;
    omniquant learns, block by block, how much of each group's range to clip and, where `activations` of so many bits
    are in the loop (`salient` for channels set apart), scales of the channels between norm, up-projection or values and
    the next linears; with `attention`, bits of keys and values, scales between keys and queries as well. preset says
    how long: published (20 epochs, 128 sequences), hour (15, 32) or tiny (2, 4).
    minimum=true gives each group a minimum as well (as Q4_1 has). rows=true gives each group an integer step and
    offset on one scale a row, so that a row needs one membrane and one multiply whatever its groups; a model that
    comes from a Q4_1 file keeps its own grid under rtn with bits=4, group=32 and either of the two. The head stays
    float unless head_bits is given; under gptq its inputs count as well, as a program that spikes already has them.
    code, in place of bits, makes weights spikes: gif:2:1:true is ternary, gif:4:1 beside minima has 4 levels.
    salient_code is that of channels which allocate-steps set apart: gif:4:2 is two such spikes.
    """

    name = "quantize-weights"
    method: str = "rtn"
    bits: int = 4
    group: int = 0
    minimum: bool = False
    rows: bool = False
    search: bool = True
    damp: float = 0.01
    costly: bool = False
    preset: str = "hour"
    epochs: int = 0
    lwc_lr: float = 1e-2
    let_lr: float = 1e-3
    alpha: float = 0.75
    activations: int = 0
    salient: int = 0
    attention: int = 0
    head_bits: int = 0
    code: str = ""
    salient_code: str = ""

    def apply(self, program: Program, ctx: Context) -> Program:
        if self.method not in ("rtn", "gptq", "omniquant"):
            raise PassError(f"method={self.method} is none of rtn, gptq, omniquant")
        self._check()
        body = [op for op in body_linears(program) if is_float(program, op)]
        out = heads(program) if self.head_bits else set()
        wanted = {op.result.name: self._grid(program, op) for op in body}
        wanted.update({op.result.name: self._plain(program, op) for op in program.ops if op.result.name in out})
        _check_stage(program, wanted)
        spread = [op for op in program.ops if op.result.name in wanted and is_float(program, op)]
        moments = _second_moments(program, ctx, spread) if self.method == "gptq" and spread else {}
        learned = Learned({}, {}, {})
        if self.method == "omniquant" and body:
            learned = self._learned(program, ctx, {op.result.name: wanted[op.result.name] for op in body})
        rewriter = Rewriter(program)
        source, factor = "", None
        for op in program.ops:
            if op.result.name in learned.gains:
                rewriter.keep(new_floats(rewriter, ctx, op, 0, learned.gains[op.result.name]))
                continue
            if op.result.name in learned.parts:
                made = new_weight(rewriter, ctx, op, 0, wanted[op.result.name], learned.parts[op.result.name])
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
            matrix, of = ctx.store.floats(program.weights[op.weights[0]]), wanted[op.result.name]
            rewriter.keep(new_weight(rewriter, ctx, op, 0, of, self._quantised(matrix, of, factor)))
        return rewriter.done()

    def _check(self) -> None:
        """Raises PassError for options that do not go together."""
        most = 7 if self.minimum else 8
        if not 2 <= self.bits <= most or not (self.head_bits == 0 or 2 <= self.head_bits <= most):
            raise PassError(f"bits are 2 to {most}{' beside a minimum' * self.minimum}")
        if self.rows and (self.method != "rtn" or self.minimum or max(self.bits, self.head_bits) > 7 or self.code):
            raise PassError("rows=true goes with method=rtn, up to 7 bits and no code, and has minima of its own")
        if self.costly and self.method != "gptq":
            raise PassError("costly=true goes with method=gptq")
        if self.group < 0 or not 0 < self.damp < math.inf:
            raise PassError("group is 0 or more, damp more than 0")
        if self.salient_code and not self.code:
            raise PassError("salient_code needs code, that of the other channels")
        for text in filter(None, (self.code, self.salient_code)):
            code = named_code(text, unsigned=True)
            if (code.lo < 0) == self.minimum:
                raise PassError(f"{code}: unsigned spikes go with minimum=true, signed ones without")
            if code.hi > 127:
                raise PassError(f"{code}: weights are spike counts of at most 127")

    def _grid(self, program: Program, op: Op) -> GridWeight | RowWeight:
        """The grid of a linear's matrix, by segments of its inputs where weights spike."""
        plain = self._plain(program, op)
        if not self.code or not isinstance(plain, GridWeight):
            return plain
        usual, apart, width = named_code(self.code, unsigned=True), 0, plain.shape[1]
        codes = [usual]
        if self.salient_code:
            maker = program.producers().get(op.operands[0].name)
            if maker is None or maker.name != "nn.set_apart" or maker.attrs["back"]:
                raise PassError(f"{op.loc.module}: no channels are set apart; run allocate-steps before salient_code")
            apart = len(maker.attrs["channels"])
            codes.append(named_code(self.salient_code, unsigned=True))
        whole = ((0, apart, codes[-1]), (apart, width, usual))
        segments = tuple(Segment(start, stop, code) for start, stop, code in whole if start < stop)
        bits = max(s.code.hi.bit_length() for s in segments) + (not self.minimum)
        return replace(plain, bits=bits, segments=segments)

    def _plain(self, program: Program, op: Op) -> GridWeight | RowWeight:
        """A grid of integers, for a linear or the head."""
        out, inputs = program.weights[op.weights[0]].type.shape
        bits = self.head_bits if op.result.name in heads(program) else self.bits
        group = self.group if 0 < self.group < inputs else inputs
        if self.rows:
            return RowWeight(bits, group, (out, inputs))
        return GridWeight(bits, group, self.minimum, (out, inputs))

    def _learned(self, program: Program, ctx: Context, grids: Mapping[str, GridWeight | RowWeight]) -> Learned:
        if self.preset not in PRESETS:
            raise PassError(f"preset={self.preset} is none of {', '.join(PRESETS)}")
        rates = (self.lwc_lr, self.let_lr, self.alpha)
        if self.epochs < 0 or not all(0 < rate < math.inf for rate in rates) or self.alpha > 1:
            raise PassError("epochs is 0 or more (0: the preset's), rates more than 0, alpha at most 1")
        if not (0 <= self.activations <= 8 and 0 <= self.salient <= 10):
            raise PassError("activations are 0 (float) to 8 bits, salient 0 to 10")
        if not (self.attention == 0 or 2 <= self.attention <= 8):
            raise PassError("attention is 0 (float) or 2 to 8 bits")
        epochs, sequences = PRESETS[self.preset]
        how = Learning(self.epochs or epochs, sequences, *rates, self.activations, self.salient, self.attention)
        return omniquant(program, ctx, {name: of for name, of in grids.items() if isinstance(of, GridWeight)}, how)

    def _factor(self, op: Op, moments: torch.Tensor) -> torch.Tensor:
        try:
            return inverse_factor(moments, self.damp)
        except RuntimeError as error:  # torch keeps its LinAlgError out of its types
            raise PassError(
                f"{op.loc.module}: its inputs' moments have no inverse; give damp more than {self.damp}"
            ) from error

    def _quantised(self, matrix: NDArray[np.float32], of: GridWeight | RowWeight, factor: torch.Tensor | None) -> Parts:
        if isinstance(of, RowWeight):
            return rows_on_one_scale(matrix, of, search=self.search)
        return (
            round_to_nearest(matrix, of, search=self.search)
            if factor is None
            else gptq(matrix, of, factor, costly=self.costly)
        )


def _check_stage(program: Program, wanted: Collection[str]) -> None:
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
