"""Firing rates and additions of a run, per layer and in all, from what a runner counted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ..backends.counting import spiked_operand
from ..backends.interface import SpikeCount, Stats
from ..ir import Code, FixedWeight, FloatWeight, GridWeight, Ints, Op, Program, Train, parse_code

# Spiked products of two values that both depend on the text.
ATTENTION = ("spike.matmul", "lif.coincide", "lif.gather")


@dataclass(frozen=True, slots=True)
class Firing:
    """Of some spiked products: spikes for each activation, share of non-zero counts, firing rate, additions.

    firing_rate = spikes / (time steps · activations). additions_per_weight = (signed column additions + membrane
    updates) / multiply-adds of the dense products, which weighs each layer by its fan-out. ace: the cost of SpikeLLM,
    bits of the weight (or integer) times bits of a spike times steps, for each multiply-add; a spike of k values has
    log2 k bits, and a weight that is spikes counts its own steps as well.
    """

    activations: int
    time_steps: int
    spikes_per_activation: float
    nonzero: float
    firing_rate: float
    additions_per_weight: float
    additions: int
    updates: int
    macs: int
    ace: float


def firing(program: Program, counts: Iterable[SpikeCount]) -> Firing:
    """Totals over products; an encoder that several of them read counts once for its own figures."""
    counts = list(counts)
    makers = program.producers()
    encoders = {makers[c.op].operands[-1 if makers[c.op].name == "spike.matmul" else 0].name: c for c in counts}
    values = sum(c.values for c in encoders.values()) or 1
    slots = sum(c.values * _steps(c) for c in encoders.values()) or 1
    spikes = sum(c.spikes for c in encoders.values())
    macs, additions = sum(c.macs for c in counts), sum(c.additions for c in counts)
    updates = sum(c.updates for c in counts)
    return Firing(
        activations=sum(c.values for c in encoders.values()),
        time_steps=max((_steps(c) for c in counts), default=0),
        spikes_per_activation=spikes / values,
        nonzero=sum(c.nonzero for c in encoders.values()) / values,
        firing_rate=spikes / slots,
        additions_per_weight=(additions + updates) / (macs or 1),
        additions=additions,
        updates=updates,
        macs=macs,
        ace=sum(c.macs * _ace(program, makers[c.op]) for c in counts) / (macs or 1),
    )


def _ace(program: Program, op: Op) -> float:
    """Of one multiply-add of a spiked product; weights that spike count their own steps."""
    spiked = spiked_operand(op)
    if isinstance(spiked, Train):
        return spiked.steps * _operand_bits(program, op)
    weight = program.weights[op.weights[0]].type if op.weights else None
    width = spiked.segments[-1].stop
    if not isinstance(weight, GridWeight) or not weight.segments:
        each = sum((s.stop - s.start) * _bit_steps(s.code) for s in spiked.segments)
        return each / width * _operand_bits(program, op)
    shared = [(a, b, min(a.stop, b.stop) - max(a.start, b.start)) for a in spiked.segments for b in weight.segments]
    return sum(n * _bit_steps(a.code) * _bit_steps(b.code) for a, b, n in shared if n > 0) / width


def _bit_steps(code: Code) -> float:
    return code.steps * math.log2(code.level * (2 if code.lo < 0 else 1) + 1)


def _operand_bits(program: Program, op: Op) -> int:
    """Bits of what a spike of this product adds: of a weight's code, or of the integers or binary spikes it meets."""
    if op.weights:
        of = program.weights[op.weights[0]].type
        if isinstance(of, FloatWeight | FixedWeight):
            return 32 if isinstance(of, FloatWeight) else 16
        return of.bits
    read = op.operands[0].type
    return read.bits if isinstance(read, Ints) else 1


def _steps(count: SpikeCount) -> int:
    return len(count.steps) or parse_code(count.code).steps


def split(program: Program, stats: Stats) -> tuple[list[SpikeCount], list[SpikeCount]]:
    """Counts of linear layers, and of attention's products."""
    makers = program.producers()
    linears = [c for c in stats.counts if makers[c.op].name not in ATTENTION]
    return linears, [c for c in stats.counts if makers[c.op].name in ATTENTION]


def rates(program: Program, stats: Stats) -> dict[str, float]:
    """Share of counts that are not 0, of each value of spikes that linear layers read: the program's meta `firing`.

    In thousandths, so that the order of float additions does not show.
    """
    makers = program.producers()
    linears, _ = split(program, stats)
    return {makers[c.op].operands[0].name: round(c.nonzero / c.values, 3) for c in linears if c.values}


def layers(program: Program, stats: Stats) -> list[dict[str, Any]]:
    """A line for each spiked product: module, op, code and its firing."""
    makers = program.producers()
    return [
        {
            "module": c.module,
            "op": makers[c.op].name,
            "code": c.code,
            **asdict(firing(program, [c])),
            "steps": list(c.steps),
        }
        for c in stats.counts
    ]
