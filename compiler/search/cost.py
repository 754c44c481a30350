"""What a spike program costs, in the figures that stand beside its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...backends.interface import Stats
from ...ir import Membrane, Op, Program
from ...ir.ops.table import count
from ...passes.graph import heads
from ..energy.constants import FITTED_TOKENS
from ..energy.extras import extras
from ..energy.from_program import work_of_program
from ..energy.table import brief
from ..energy.traffic import Memory
from ..spikes import firing, layers, split

_ONE_TOKEN = {"B": 1, "S": 1, "P": 0}


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of a run, over the multiply-adds of the dense linear layers (the head and attention's products apart).

    additions: signed column additions, membrane updates and additions of online rotations, for each multiply-add;
    updates and rotations: how much of it those are. spikes: for each encoded activation; nonzero: share of activations
    with a spike; steps: time steps of the longest train. ace: weight bits times spike bits times steps, for each
    multiply-add. multiplies: at read-out, for each output. encodings: encoded
    activations for each multiply-add. bits: of a weight with its share of scales, steps and offsets. attention: its
    additions and updates for each multiply-add of its own products; 0 where it is not spiked. head: its multiply-adds,
    done in floats, for each of the linear layers. joules: of a token, by energy rule.
    """

    additions: float
    updates: float
    rotations: float
    spikes: float
    nonzero: float
    steps: int
    ace: float
    multiplies: float
    encodings: float
    bits: float
    attention: float
    head: float
    joules: Mapping[str, float]


def cost_of(program: Program, stats: Stats) -> Cost:
    """Costs of a program from what a runner counted. Linear layers that are not spiked cost nothing here, so the
    caller should know that there are none (coverage tells).
    """
    linears, attention = split(program, stats)
    of_linears, of_attention = firing(program, linears), firing(program, attention)
    macs = of_linears.macs or 1
    rotations = stats.tokens * sum(
        part.count for part in extras(program, _ONE_TOKEN) if part.name.startswith("online rotations")
    )
    reads = [op for op in program.ops if op.name == "spike.read_out"]
    spiked = [op for op in program.ops if op.name == "spike.linear"]
    outputs = sum(count(op.result.type.shape, _ONE_TOKEN) for op in reads) or 1
    weights = [program.weights[op.weights[0]].type for op in spiked]
    entries = sum(count(of.shape, {}) for of in weights) or 1
    work = work_of_program(program, layers(program, stats), stats.tokens, FITTED_TOKENS, "program")
    out = heads(program)
    head = sum(count(program.weights[op.weights[0]].type.shape, {}) for op in program.ops if op.result.name in out)
    return Cost(
        additions=(of_linears.additions + of_linears.updates + rotations) / macs,
        updates=of_linears.updates / macs,
        rotations=rotations / macs,
        spikes=of_linears.spikes_per_activation,
        nonzero=of_linears.nonzero,
        steps=of_linears.time_steps,
        ace=of_linears.ace,
        multiplies=sum(_multiplies(op) for op in reads) / outputs,
        encodings=of_linears.activations / macs,
        bits=sum(getattr(of, "bits_per_weight", 32.0) * count(of.shape, {}) for of in weights) / entries,
        attention=of_attention.additions_per_weight,
        head=head / entries,
        joules={line["rule"]: line["joules"] for line in brief(work, Memory())},
    )


def _multiplies(op: Op) -> float:
    """One for each membrane plane (and minimum), by the weight's scale, and one by the threshold."""
    of = op.operands[0].type
    assert isinstance(of, Membrane)
    return count(of.shape, _ONE_TOKEN) * (of.planes * (len(op.operands) - 1) + 1)
