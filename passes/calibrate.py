"""What calibration shows of each encoder: a sample of its inputs, and the matrices its spikes meet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..ir import Op, Program
from ..ir.interpreter import KERNELS, Call
from .base import Context


def sample_inputs(program: Program, ctx: Context, ops: list[Op], rows: int) -> dict[str, torch.Tensor]:
    """Operand 0 of each of these ops on calibration tokens, at most `rows` rows of it: f32 [rows, d] by result name.

    Rows are taken evenly over all sequences, so that late positions are seen as well.
    """
    wanted = {op.result.name for op in ops}
    found: dict[str, list[torch.Tensor]] = {}
    share = max(1, rows // max(1, len(ctx.tokens())))

    def watch(op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        if op.result.name in wanted:
            x = operands[0]
            for sequence in x:
                flat = sequence.reshape(-1, x.shape[-1])
                picked = torch.linspace(0, len(flat) - 1, min(share, len(flat))).long()
                found.setdefault(op.result.name, []).append(flat[picked].clone())

    ctx.observe(program, watch)
    return {name: torch.cat(parts)[:rows] for name, parts in found.items()}


@dataclass(frozen=True, slots=True)
class Trial:
    """How one setting of an encoder does on sampled inputs: γ, the relative output error, and spikes a value."""

    gamma: float
    spikes: float


def try_encoder(op: Op, x: torch.Tensor, matrix: torch.Tensor | None, **attrs: object) -> Trial:
    """γ = ‖W·q(x) - W·x‖² / ‖W·x‖² of a symmetric encoder with changed attributes (W the identity if there is none)."""
    changed = replace(op, attrs={**op.attrs, **attrs})
    n, v = KERNELS["spike.encode"](Call(changed, (x,), (), {}, False))
    error = n.float() * v - x
    if matrix is not None:
        error, x = error @ matrix.T, x @ matrix.T
    code = changed.attrs["code"]
    spikes = float(code.spikes(n.numpy()).mean())
    return Trial(float(error.square().sum() / x.square().sum().clamp(min=1e-30)), spikes)


def consumers(program: Program, ctx: Context, op: Op) -> torch.Tensor | None:
    """The matrices that an encoder's spikes meet, one below the other: f32 [outs, d]; None in attention."""
    users = program.users()[op.result.name]
    names = [u.weights[0] for u in users if u.name == "spike.linear"]
    if not names:
        return None
    return torch.cat([torch.from_numpy(ctx.store.floats(program.weights[n])) for n in names])
