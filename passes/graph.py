"""Questions passes ask of a program's graph."""

from __future__ import annotations

from collections.abc import Callable

from ..ir import GridWeight, Op, Program, Rewriter, Value, Weight

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


def own_name(program: Program, op: Op) -> str:
    """A weight name for this op alone: its own where nobody shares it, else one from its module."""
    name = op.weights[0]
    shared = [u for u in program.weight_users()[name] if u.result.name != op.result.name]
    if not shared:
        return name
    return f"{op.loc.module}.weight" if f"{op.loc.module}.weight" not in program.weights else f"{op.loc.module}.own"


def is_float(program: Program, op: Op) -> bool:
    """Whether an op's matrix is not yet on a grid."""
    return not isinstance(program.weights[op.weights[0]].type, GridWeight)


def replace_weights(op: Op, names: tuple[str, ...]) -> Op:
    """The op with other weights."""
    from dataclasses import replace

    return replace(op, weights=names)


def walk_back(program: Program, value: Value, through: Callable[[Op], bool]) -> Op | None:
    """The first op behind a value that `through` does not look through (its first operand is followed)."""
    makers = program.producers()
    op = makers.get(value.name)
    while op is not None and through(op):
        op = makers.get(op.operands[0].name)
    return op


def set_weights(rewriter: Rewriter, op: Op, *weights: Weight, **attrs: object) -> None:
    """Keep an op with other weights."""
    names = tuple(rewriter.set_weight(w) for w in weights)
    rewriter.keep(replace_weights(op, names), **attrs)
