"""A program in blocks: runs of ops between which one value alone is handed on, as decoder layers are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from ..ir import Op, Program, Tensor
from ..ir.interpreter import KERNELS, Call
from ..ir.interpreter.kernel import WeightData

Values = dict[str, torch.Tensor]
Finish = Callable[[Op, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Block:
    """Ops, and the names of the value they start from and of that which they hand on."""

    ops: tuple[Op, ...]
    enters: str
    leaves: str


def blocks(program: Program) -> tuple[list[Op], list[Block]]:
    """The ops before the first block, and the blocks: cut where one float value of all tokens is handed on, one block
    for each numbered layer. What follows the last cut (the head) is left out.
    """
    last = {o.name: index for index, op in enumerate(program.ops) for o in op.operands}
    inputs = {v.name for v in program.inputs}
    live: set[str] = set()
    cuts: list[tuple[int, str]] = []
    for index, op in enumerate(program.ops):
        live |= {r.name for r in op.results}
        live = {name for name in live - inputs if last.get(name, -1) > index}
        of = op.result.type
        if live == {op.result.name} and isinstance(of, Tensor) and of.dtype == "f32" and of.shape[:2] == ("B", "S"):
            cuts.append((index, op.result.name))
    if not cuts:
        return list(program.ops), []
    found: list[Block] = []
    for (start, enters), (stop, leaves) in pairwise(cuts):
        ops = program.ops[start + 1 : stop + 1]
        if found and (not _layer(ops) or _layer(found[-1].ops) == _layer(ops)):
            found[-1] = Block((*found[-1].ops, *ops), found[-1].enters, leaves)
        else:
            found.append(Block(tuple(ops), enters, leaves))
    return list(program.ops[: cuts[0][0] + 1]), found


def _layer(ops: Sequence[Op]) -> str:
    """The numbered module that the first linear among them belongs to; empty if there is none."""
    module = next((op.loc.module for op in ops if op.name == "nn.linear"), "")
    numbered = re.match(r".*?\.\d+", module)
    return numbered[0] if numbered else module


def run_ops(
    ops: Sequence[Op],
    values: Values,
    weight: Callable[[str], WeightData],
    state: MutableMapping[str, torch.Tensor],
    *,
    enter: Finish = lambda op, x: x,
    finish: Finish = lambda op, y: y,
    matrices: Mapping[str, tuple[WeightData, ...]] | None = None,
) -> Values:
    """Run float ops by the reference kernels, so that gradients flow; gives all values.

    `enter` sees a linear's input, `finish` an op's first result, and either may change it; `matrices` stand for the
    weights of the linears they name by result.
    """
    for op in ops:
        operands = tuple(values[o.name] for o in op.operands)
        own = matrices.get(op.result.name) if matrices else None
        if op.name == "nn.linear":
            operands = (enter(op, operands[0]), *operands[1:])
        weights = own if own is not None else tuple(map(weight, op.weights))
        first, *rest = KERNELS[op.name](Call(op, operands, weights, state, False))
        values.update(zip((r.name for r in op.results), (finish(op, first), *rest), strict=True))
    return values
