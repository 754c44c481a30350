"""Energy of a token, by two rules side by side, each with its assumptions."""

from __future__ import annotations

from dataclasses import dataclass

from ..backends.interface import SpikeCount
from ..ir import OPS, GridWeight, Program
from .coverage import args_of

# pJ an operation, Horowitz, ISSCC 2014, 45 nm.
FP32_MAC = 4.6
FP32_ADD = 0.9
INT32_ADD = 0.1


@dataclass(frozen=True, slots=True)
class Column:
    """Energy by one rule, in joules a token, of what runs on spikes; and what the rule assumes."""

    rule: str
    joules: float
    source_joules: float
    assumes: str


def energy(program: Program, counts: list[SpikeCount], tokens: int) -> list[Column]:
    """Arithmetic energy of the spiked products of one token, beside the dense float32 products they replace.

    The literature's rule is that of SDLLM's table (derived from its figures): an addition costs 0.9 pJ scaled by
    weight bits / 32. Neither column has memory traffic, read-out, norms, softmax or the head.
    """
    tokens = max(tokens, 1)
    macs = sum(c.macs for c in counts) / tokens
    additions = sum(c.additions + c.updates for c in counts) / tokens
    bits = _bits(program)
    source = macs * FP32_MAC * 1e-12
    return [
        Column(
            "literature",
            additions * FP32_ADD * bits / 32 * 1e-12,
            source,
            f"an addition is {FP32_ADD} pJ x {bits:g}/32 bits, a float32 multiply-add {FP32_MAC} pJ; arithmetic alone",
        ),
        Column(
            "integer membranes",
            additions * INT32_ADD * 1e-12,
            source,
            f"an addition into a 32-bit membrane is {INT32_ADD} pJ (Horowitz 2014); arithmetic alone",
        ),
    ]


def float_macs(program: Program) -> int:
    """Dense float multiply-adds that one decoded token still costs (head and what was not spiked), without a past."""
    dims = {"B": 1, "S": 1, "P": 0}
    return sum(
        OPS[op.name].cost(args_of(program, op), tuple(r.type for r in op.results), dims).macs
        for op in program.ops
        if op.name.startswith("nn.")
    )


def _bits(program: Program) -> float:
    used = {op.weights[0] for op in program.ops if op.name == "spike.linear"}
    sizes = [
        (w.type.bits if isinstance(w.type, GridWeight) else 32, w.type.shape)
        for n, w in program.weights.items()
        if n in used
    ]
    total = sum(shape[0] * shape[1] for _, shape in sizes) or 1
    return sum(bits * shape[0] * shape[1] for bits, shape in sizes) / total
