"""What encoding loses where: γ and saturation of each spiked product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends.counting import DRIVEN
from ..ir import Op, Program, Spikes, Store
from ..ir.interpreter import KERNELS, Call
from ..ir.interpreter.spikes import count_range
from ..ir.ops.spikes import grid_tops
from ..passes import Context
from ..passes.calibrate import sample_inputs
from ..passes.sensitivity import decoded

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Of one spiked product, on a sample of its inputs.

    gamma = ‖W·q(x) - W·x‖² / ‖W·x‖², x what was encoded and q(x) what its counts stand for; in attention W is the
    identity (a reconstruction of the γ of SDLLM, arXiv 2604.16475). saturated: share of counts at either end of their
    range, where what they stand for may have been cut off.
    """

    gamma: float
    saturated: float


def fidelity(
    program: Program,
    store: Store,
    tokens: NDArray[np.int64],
    rows: int = 192,
    progress: Progress = lambda done, total, what: None,
) -> dict[str, Fidelity]:
    """By the product's result name, measured on tokens i64 [N, L]; only products whose spikes come from an encoder."""
    makers = program.producers()
    encoders = [op for op in program.ops if op.name == "spike.encode"]
    if not encoders:
        return {}
    inputs = sample_inputs(program, Context(store, tokens, progress=progress), encoders, rows)
    errors = {op.result.name: _encoded(op, inputs[op.result.name]) for op in encoders}
    found: dict[str, Fidelity] = {}
    for op in program.ops:
        if op.name not in DRIVEN:
            continue
        spikes = op.operands[DRIVEN[op.name]].name
        while (maker := makers.get(spikes)) is not None and maker.name == "state.append":
            spikes = maker.operands[0].name
        if spikes not in errors:
            continue
        error, saturated = errors[spikes]
        exact = inputs[spikes]
        if op.name == "spike.linear":
            matrix = torch.from_numpy(store.floats(program.weights[op.weights[0]]))
            error, exact = error @ matrix.T, exact @ matrix.T
        energy = float(exact.square().sum()) or 1.0
        found[op.result.name] = Fidelity(float(error.square().sum()) / energy, saturated)
    return found


def _encoded(op: Op, x: torch.Tensor) -> tuple[torch.Tensor, float]:
    of = op.result.type
    assert isinstance(of, Spikes)
    n = KERNELS["spike.encode"](Call(op, (x,), (), {}, False))[0]
    full = 0
    for s, top in zip(of.segments, grid_tops(op.attrs, of.segments), strict=True):
        low, high = count_range(op.attrs["grid"], top, s.code)
        part = n[..., s.start : s.stop]
        full += int(((part == low) | (part == high)).sum())
    return decoded(op, x) - x, full / n.numel()
