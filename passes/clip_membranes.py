"""clip-membranes: weak inputs are silenced and outliers saturate, where calibration says the output can bear it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ir import Op, Program, Rewriter, Ternary
from .base import Context, Pass, PassError
from .calibrate import Trial, consumers, sample_inputs, try_encoder


@dataclass(frozen=True)
class ClipMembranes(Pass):
    """Membrane clipping, chosen for each encoder by what it costs in output error.

    form soft is the quantile-shifted ReLU, sign(x)·relu(|x| - q_p(|x|)); hard silences |x| <= q_p(|x|) and leaves the
    rest; saturate lowers the threshold to `factor`·max|x|/N, so that outliers saturate. The form and p are
    reconstructions. form=auto tries them all and takes the one with the fewest spikes whose γ (relative squared
    output error on calibration text) is at most 1 + tolerance times that without clipping. A fixed form takes
    `quantile` (or `factor`) everywhere.
    """

    name = "clip-membranes"
    form: str = "auto"
    quantile: float = 0.0
    factor: float = 1.0
    tolerance: float = 0.0
    rows: int = 256

    def apply(self, program: Program, ctx: Context) -> Program:
        if self.form not in ("auto", "soft", "hard", "saturate"):
            raise PassError(f"clip-membranes: form={self.form} is none of auto, soft, hard, saturate")
        chosen = self._measured(program, ctx) if self.form == "auto" else {}
        rewriter = Rewriter(program)
        for op in program.ops:
            if not _clippable(op):
                rewriter.keep(op)
            elif self.form == "auto":
                rewriter.keep(op, **chosen[op.result.name])
            elif self.form == "saturate":
                rewriter.keep(op, factor=self.factor)
            else:
                rewriter.keep(op, clip=self.form, quantile=self.quantile)
        return rewriter.done()

    def _measured(self, program: Program, ctx: Context) -> dict[str, dict[str, Any]]:
        ops = [op for op in program.ops if _clippable(op)]
        inputs = sample_inputs(program, ctx, ops, self.rows)
        chosen: dict[str, dict[str, Any]] = {}
        for index, op in enumerate(ops):
            ctx.progress(index, len(ops), "encoders clipped")
            matrix = consumers(program, ctx, op)
            plain = try_encoder(op, inputs[op.result.name], matrix)
            best, attrs = plain, {}
            for candidate in _candidates():
                trial = try_encoder(op, inputs[op.result.name], matrix, **candidate)
                if trial.gamma <= plain.gamma * (1 + self.tolerance) and trial.spikes < best.spikes:
                    best, attrs = trial, candidate
            chosen[op.result.name] = attrs
            ctx.note(op.loc.module, _said(plain, best, attrs))
        return chosen


def _clippable(op: Op) -> bool:
    return op.name == "spike.encode" and isinstance(op.attrs["code"], Ternary) and op.attrs["clip"] == "none"


def _candidates() -> list[dict[str, Any]]:
    """Settings tried: saturation, silence and both."""
    made: list[dict[str, Any]] = []
    for factor in (1.0, 0.9, 0.8, 0.7, 0.6):
        made.append({"factor": factor})
        made += [{"factor": factor, "clip": "hard", "quantile": p} for p in (0.1, 0.2, 0.3, 0.4)]
        made += [{"factor": factor, "clip": "soft", "quantile": p} for p in (0.05, 0.1, 0.2)]
    return made


def _said(plain: Trial, best: Trial, attrs: dict[str, Any]) -> str:
    how = ", ".join(f"{k}={v}" for k, v in attrs.items()) or "unclipped"
    return f"{how}: γ {plain.gamma:.4f} -> {best.gamma:.4f}, spikes {plain.spikes:.2f} -> {best.spikes:.2f}"
