"""clip-membranes: weak inputs are silenced and outliers saturate, where calibration says the output can bear it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ir import Op, Program, Rewriter, Ternary
from .base import Context, Pass, PassError
from .calibrate import Bench, Trial, consumers, sample_inputs


@dataclass(frozen=True)
class ClipMembranes(Pass):
    """Membrane clipping, chosen for each encoder by what it costs in output error.

    form soft is the quantile-shifted ReLU, sign(x)·relu(|x| - q_p(|x|)); hard silences |x| <= q_p(|x|) and leaves the
    rest; saturate lowers the threshold to `factor`·max|x|/N, so that outliers saturate. The form and p are
    reconstructions. form=auto tries them, alone and together, and takes the setting with the fewest spikes whose γ
    (relative squared output error on calibration text) is within 1 + tolerance of the least. A fixed form takes
    `quantile` (or `factor`) everywhere.
    """

    name = "clip-membranes"
    form: str = "auto"
    quantile: float = 0.0
    factor: float = 1.0
    tolerance: float = 0.05
    rows: int = 192

    def apply(self, program: Program, ctx: Context) -> Program:
        if self.form not in ("auto", "soft", "hard", "saturate"):
            raise PassError(f"form={self.form} is none of auto, soft, hard, saturate")
        if self.rows < 1:
            raise PassError(f"rows={self.rows}: must be at least 1")
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
            bench = Bench(op, inputs[op.result.name], consumers(program, ctx, op))
            plain, tried = _tried(bench)
            least = min(t.gamma for t in tried)
            best = min((t for t in tried if t.gamma <= least * (1 + self.tolerance)), key=lambda t: t.spikes)
            chosen[op.result.name] = dict(best.attrs)
            ctx.note(op.loc.module, _said(plain, best))
        return chosen


def _clippable(op: Op) -> bool:
    return op.name == "spike.encode" and isinstance(op.attrs["code"], Ternary) and op.attrs["clip"] == "none"


def _tried(bench: Bench) -> tuple[Trial, list[Trial]]:
    """The unclipped encoder, and all settings tried: thresholds first, then silence at the best of them."""
    plain = bench.try_out()
    tried = [plain, *(bench.try_out(factor=f) for f in (0.9, 0.8, 0.7, 0.6, 0.5))]
    factor = min(tried, key=lambda t: t.gamma).attrs.get("factor", 1.0)
    tried += [bench.try_out(factor=factor, clip="hard", quantile=p) for p in (0.1, 0.2, 0.3)]
    tried += [bench.try_out(factor=factor, clip="soft", quantile=p) for p in (0.02, 0.05, 0.1)]
    return plain, tried


def _said(plain: Trial, best: Trial) -> str:
    how = ", ".join(f"{k}={v}" for k, v in best.attrs.items()) or "unclipped"
    return f"{how}: γ {plain.gamma:.4f} -> {best.gamma:.4f}, spikes {plain.spikes:.2f} -> {best.spikes:.2f}"
