"""fold-norms: gains (and biases) of norms go into the weights of the linears that read them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..ir import Op, Program, Rewriter
from .base import Context, Pass
from .graph import free_name, new_floats

NORMS = ("nn.rms_norm", "nn.layer_norm")


@dataclass(frozen=True)
class FoldNorms(Pass):
    """Norm gains into the next weights, W·diag(g), where linears alone read the norm.

    A tied head gets a weight of its own this way, which a note says.
    """

    name = "fold-norms"
    exact = True

    def apply(self, program: Program, ctx: Context) -> Program:
        users = program.users()
        outputs = {v.name for v in program.outputs.values()}
        folded: dict[str, tuple[NDArray[np.float32], NDArray[np.float32] | None]] = {}
        for op in program.ops:
            if op.name not in NORMS or not op.weights:
                continue
            readers = users[op.result.name]
            others = [u.name for u in readers if u.name != "nn.linear"] + ["an output"] * (op.result.name in outputs)
            if others or not readers:
                ctx.note(op.loc.module, f"gain kept: {others[0] if others else 'nothing'} reads the norm")
                continue
            gain, *bias = (ctx.store.floats(program.weights[w]) for w in op.weights)
            if gain.ndim != 1:
                ctx.note(op.loc.module, "gain kept: it differs by head")
                continue
            folded[op.result.name] = (gain + np.float32(op.attrs.get("gain_offset", 0.0)), bias[0] if bias else None)
        return self._rewrite(program, ctx, folded)

    def _rewrite(
        self, program: Program, ctx: Context, folded: dict[str, tuple[NDArray[np.float32], NDArray[np.float32] | None]]
    ) -> Program:
        rewriter = Rewriter(program)
        for op in program.ops:
            if op.result.name in folded:
                attrs = {"gain_offset": 0.0} if op.name == "nn.rms_norm" else {}
                rewriter.keep(replace(op, weights=()), **attrs)
            elif op.name == "nn.linear" and op.operands[0].name in folded:
                self._linear(program, ctx, rewriter, op, *folded[op.operands[0].name])
            else:
                rewriter.keep(op)
        return rewriter.done()

    def _linear(
        self,
        program: Program,
        ctx: Context,
        rewriter: Rewriter,
        op: Op,
        gain: NDArray[np.float32],
        shift: NDArray[np.float32] | None,
    ) -> None:
        matrix = ctx.store.floats(program.weights[op.weights[0]])
        op = new_floats(rewriter, ctx, op, 0, matrix * gain)
        if shift is not None and len(op.weights) == 2:
            bias = ctx.store.floats(program.weights[op.weights[1]])
            op = new_floats(rewriter, ctx, op, 1, matrix @ shift + bias)
        elif shift is not None:
            name = free_name(rewriter, f"{op.loc.module}.folded_bias")
            rewriter.set_weight(ctx.store.put_float(name, matrix @ shift))
            op = replace(op, weights=(*op.weights, name))
        rewriter.keep(op)
