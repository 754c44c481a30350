"""Questions passes ask of a program's graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir import Code, FloatWeight, Op, Program, Rewriter, Segment, Spikes, State, WeightType
from .base import Context, PassError

Parts = Mapping[str, NDArray[Any]]

# What stands between the last linear and the output without making it another kind of value.
_AFTER_HEAD = ("nn.scale", "nn.softcap", "nn.bias", "spike.read_out")


def heads(program: Program) -> set[str]:
    """Result names of the linears that make an output of the program: the language model's head."""
    makers = program.producers()
    found: set[str] = set()
    for value in program.outputs.values():
        op = makers.get(value.name)
        while op is not None and op.name in _AFTER_HEAD:
            op = makers.get(op.operands[0].name)
        if op is not None and op.name == "nn.linear":
            found.add(op.result.name)
    return found


def body_linears(program: Program) -> list[Op]:
    """Every nn.linear but the heads."""
    out = heads(program)
    return [op for op in program.ops if op.name == "nn.linear" and op.result.name not in out]


def is_float(program: Program, op: Op) -> bool:
    """Whether an op's matrix is not yet on a grid."""
    return isinstance(program.weights[op.weights[0]].type, FloatWeight)


def new_weight(rewriter: Rewriter, ctx: Context, op: Op, index: int, of: WeightType, parts: Parts) -> Op:
    """The op with its weight of that index replaced.

    The new one keeps the old name where this op alone uses it; otherwise it gets a name of its own from the op's
    module, so that the others keep what they had, and a note says that they are untied.
    """
    name = op.weights[index]
    if len(rewriter.source.weight_users().get(name, [])) > 1:
        own = f"{op.loc.module}.{('weight', 'bias')[index]}" if op.loc.module else f"{name}.copy"
        name = free_name(rewriter, own)
        ctx.note(op.loc.module, f"unties @{op.weights[index]}: its copy is @{name}")
    rewriter.set_weight(ctx.store.put(name, of, parts))
    return replace(op, weights=(*op.weights[:index], name, *op.weights[index + 1 :]))


def new_floats(rewriter: Rewriter, ctx: Context, op: Op, index: int, values: NDArray[np.float32]) -> Op:
    """The op with its weight of that index replaced by these floats; see `new_weight`.

    Raises PassError if it is on a grid, which it would silently leave.
    """
    if not isinstance(rewriter.weights[op.weights[index]].type, FloatWeight):
        raise PassError(f"{op.loc.module}: @{op.weights[index]} is quantised already; run this before quantize-weights")
    return new_weight(rewriter, ctx, op, index, FloatWeight(values.shape), {"values": values})


def free_name(rewriter: Rewriter, wanted: str) -> str:
    """A weight name that is not taken: the wanted one, or that with a number."""
    name, number = wanted, 2
    while name in rewriter.weights:
        name, number = f"{wanted}.{number}", number + 1
    return name


def recode_states(rewriter: Rewriter, codes: Mapping[str, Code]) -> None:
    """Give the states that hold an encoder's counts, by its first result's name, that encoder's new code."""
    for op in rewriter.source.ops:
        if op.name == "state.append" and op.state is not None and op.operands[0].name in codes:
            of = rewriter.source.states[op.state].type
            assert isinstance(of, Spikes)
            segment = Segment(0, of.segments[-1].stop, codes[op.operands[0].name])
            rewriter.states[op.state] = State(op.state, Spikes((segment,), of.shape))
