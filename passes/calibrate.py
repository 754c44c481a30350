"""What calibration shows of each encoder: a sample of its inputs, and the matrices its spikes meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..ir import Op, Program
from ..ir.interpreter import KERNELS, Call
from .base import Context

# Enough for a sample of a few hundred rows; a run of a spiked program costs more than that of its source.
_SEQUENCES = 8


def sample_inputs(program: Program, ctx: Context, ops: list[Op], rows: int) -> dict[str, torch.Tensor]:
    """Operand 0 of each of these ops on calibration tokens, at most `rows` rows of it: f32 [rows, d] by result name.

    Rows are taken evenly over the first sequences, at other positions in each, so that none is seen more often than it
    is there: first tokens are unlike all others.
    """
    wanted = {op.result.name for op in ops}
    found: dict[str, list[torch.Tensor]] = {}
    sequences = min(_SEQUENCES, len(ctx.tokens()))
    share = -(-rows // sequences)

    def watch(op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        if op.result.name in wanted:
            x = operands[0]
            parts = found.setdefault(op.result.name, [])
            for sequence in x:
                flat = sequence.reshape(-1, x.shape[-1])
                count = min(share, len(flat))
                offset = (len(parts) + 0.5) / sequences
                picked = ((torch.arange(count) + offset) * (len(flat) / count)).long()
                parts.append(flat[picked].clone())

    ctx.observe(program, watch, sequences=sequences)
    return {name: torch.cat(parts)[:rows] for name, parts in found.items()}


@dataclass(frozen=True, slots=True)
class Trial:
    """How one setting of an encoder does on sampled inputs: γ, the relative output error, and spikes a value."""

    attrs: Mapping[str, Any]
    gamma: float
    spikes: float


class Bench:
    """Tries settings of one symmetric encoder on sampled inputs f32 [rows, d] and the matrix [out, d] they meet.

    γ = ‖W·q(x) - W·x‖² / ‖W·x‖², W the identity where there is none.
    """

    def __init__(self, op: Op, x: torch.Tensor, matrix: torch.Tensor | None) -> None:
        self._op, self._x, self._matrix = op, x, matrix
        exact = x if matrix is None else x @ matrix.T
        self._energy = float(exact.square().sum().clamp(min=1e-30))

    def try_out(self, **attrs: Any) -> Trial:
        """γ and spikes with these attributes changed."""
        changed = replace(self._op, attrs={**self._op.attrs, **attrs})
        n, v, *_ = KERNELS["spike.encode"](Call(changed, (self._x,), (), {}, False))
        error = n.float() * v - self._x
        if self._matrix is not None:
            error = error @ self._matrix.T
        spikes = float(changed.attrs["code"].spikes(n.numpy()).mean())
        return Trial(attrs, float(error.square().sum()) / self._energy, spikes)


def consumers(program: Program, ctx: Context, op: Op) -> torch.Tensor | None:
    """The matrices that an encoder's spikes meet, one below the other: f32 [outs, d]; None in attention."""
    users = program.users()[op.result.name]
    names = [u.weights[0] for u in users if u.name == "spike.linear"]
    if not names:
        return None
    return torch.cat([torch.from_numpy(ctx.store.floats(program.weights[n])) for n in names])
