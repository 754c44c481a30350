"""recode: the same counts, said with the fewest additions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..ir import CSD, Bits, Code, Op, Program, Ramp, Rewriter, SignedBits
from ..ir.interpreter import KERNELS, Call
from .base import Context, Pass, PassError
from .calibrate import sample_inputs
from .graph import recode_states


@dataclass(frozen=True)
class Recode(Pass):
    """For each encoder the spike code with the fewest additions for the counts that calibration saw.

    Counts stay what they are (the range of the old code becomes the encoder's `levels`), so nothing changes but
    spikes and time steps. ramp=true allows timed spikes too, whose membrane updates are counted as additions;
    max_steps=0 allows any number of time steps.
    """

    name = "recode"
    exact = True
    ramp: bool = False
    max_steps: int = 0
    rows: int = 256

    def apply(self, program: Program, ctx: Context) -> Program:
        encoders = [op for op in program.ops if op.name == "spike.encode" and isinstance(op.attrs["code"], Code)]
        if not encoders:
            raise PassError("the program has no encoders; run insert-encoders first")
        if self.rows < 1:
            raise PassError(f"rows={self.rows}: must be at least 1")
        ops = [op for op in encoders if not op.attrs["price"]]
        for op in encoders:
            if op.attrs["price"]:
                ctx.note(op.loc.module, f"{op.attrs['code']} kept: its counts were chosen by the spikes of that code")
        inputs = sample_inputs(program, ctx, ops, self.rows)
        codes = {op.result.name: self._best(ctx, op, inputs[op.result.name]) for op in ops}
        return _recoded(program, codes)

    def _best(self, ctx: Context, op: Op, x: torch.Tensor) -> Code:
        old: Code = op.attrs["code"]
        n = KERNELS["spike.encode"](Call(op, (x,), (), {}, False))[0].numpy()
        width = x.shape[-1]

        def additions(code: Code) -> float:
            # A ramp updates every membrane in every step, whether or not anything spiked: width inputs share that.
            return float(code.spikes(n).mean()) + sum(code.ramps) / width

        fits = [old, *(c for c in self._choices(old) if c.lo <= old.lo and c.hi >= old.hi)]
        allowed = [c for c in fits if not self.max_steps or c.steps <= self.max_steps] or [old]
        best = min(allowed, key=lambda c: (additions(c), c.steps))
        ctx.note(op.loc.module, f"{old} to {best}: {additions(old):.3f} -> {additions(best):.3f} additions a value")
        return best

    def _choices(self, old: Code) -> list[Code]:
        bits = old.hi.bit_length()
        if old.lo >= 0:
            return [Bits(bits)]
        made: list[Code] = [SignedBits(bits), CSD(bits), CSD(bits + 1)]
        if self.ramp:
            made += [Ramp(2**b, -(-bits // b)) for b in range(1, min(bits, 7) + 1)]
        return made


def _recoded(program: Program, codes: dict[str, Code]) -> Program:
    rewriter = Rewriter(program)
    recode_states(rewriter, codes)
    for op in program.ops:
        if op.result.name not in codes or codes[op.result.name] == op.attrs["code"]:
            rewriter.keep(op)
            continue
        old = op.attrs["code"]
        grid_top = (old.hi + 1) // 2 - 1 if op.attrs["grid"] == "offset" else old.hi
        rewriter.keep(op, code=codes[op.result.name], levels=op.attrs["levels"] or grid_top)
    return rewriter.done()
