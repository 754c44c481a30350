"""narrow-offsets: the offsets of 4-bit rows on one scale take 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ir import Program, Rewriter, RowWeight
from .base import Context, Pass, PassError

META = "narrow_offsets"  # of the program: k
MIDDLE = 8  # a step times this, taken off, leaves offsets small
_MOST = 127


@dataclass(frozen=True)
class NarrowOffsets(Pass):
    """Offsets of 4-bit rows on one scale become step·-8 + m·2^k, m of 8 bits and one k for all matrices: 4.5 bits a
    weight in place of 4.75, where a backend packs them so.

    k is the least that holds them all, and stands in the program's meta `narrow_offsets`; an offset moves by 2^(k-1)
    units of its row at most. Codes, steps and scales stay as they are. For after quantize-weights{rows=true,bits=4}, or
    on a program that spikes already.
    """

    name = "narrow-offsets"

    def apply(self, program: Program, ctx: Context) -> Program:
        rows = [w for w in program.weights.values() if isinstance(w.type, RowWeight) and w.type.bits == 4]
        if not rows:
            raise PassError("no matrix has 4-bit rows on one scale; run quantize-weights{rows=true,bits=4} first")
        rewriter = Rewriter(program)
        for op in program.ops:
            rewriter.keep(op)
        most = 0
        for weight in rows:
            parts = ctx.store.get(weight)
            most = max(most, int(np.abs(_about(parts["offsets"], parts["steps"])).max(initial=0)))
        shift = 0
        while most + (1 << shift >> 1) >= (_MOST + 1) << shift:
            shift += 1
        for i, weight in enumerate(rows):
            ctx.progress(i, len(rows), "matrices narrowed")
            parts = dict(ctx.store.get(weight))
            about, half = _about(parts["offsets"], parts["steps"]), 1 << shift >> 1
            near = ((about + half) >> shift << shift) - MIDDLE * parts["steps"].astype(np.int32)
            if near.min() < -(2**15) or near.max() >= 2**15:
                raise PassError(f"@{weight.name}: its offsets are too large to be narrowed")
            parts["offsets"] = near.astype(np.int16)
            rewriter.set_weight(ctx.store.put(weight.name, weight.type, parts))
        ctx.note("", f"offsets are 8 bits times {1 << shift} units of their row")
        return rewriter.done(**{META: shift})


def _about(offsets: NDArray[np.int16], steps: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Offsets from the middle of the codes: i32."""
    return offsets.astype(np.int32) + np.int32(MIDDLE) * steps.astype(np.int32)
