"""The verifier: a program is well-formed, or an IRError names the op and where it comes from."""

from __future__ import annotations

import re

from .errors import IRError
from .ops import Args, complete_attrs, infer_types, lookup
from .parser import parse_type, parse_weight_type
from .printer import print_op
from .program import Op, Program, Value
from .types import Type


def _fail(op: Op, reason: str) -> IRError:
    where = f" at {op.loc.module or '<no module>'}" + (f" ({op.loc.sources[0]})" if op.loc.sources else "")
    try:
        text = print_op(op)
    except (IRError, TypeError, ValueError):
        text = op.name
    return IRError(f"{op.name}{where}: {reason}\n  {text}")


_NAME = re.compile(r'[^\s,%@"{}()]+')


def _declarations(program: Program) -> None:
    """Every name and declared type must read back as it is printed."""
    names = [v.name for v in program.values()]
    for name in (*names, *program.outputs, *program.weights, *program.states, *program.meta):
        if not _NAME.fullmatch(name):
            raise IRError(f'{name!r} is no name (it has a space or one of ,%@"{{}}())')
    for value in program.inputs:
        _well_formed(value.name, value.name, value.type)
    for name, state in program.states.items():
        _well_formed(name, state.name, state.type)
    for name, weight in program.weights.items():
        if name != weight.name or parse_weight_type(str(weight.type)) != weight.type:
            raise IRError(f"weight @{name} is no well-formed '@{weight.name} : {weight.type}'")


def _well_formed(key: str, name: str, of: Type) -> None:
    if key != name or parse_type(str(of)) != of:
        raise IRError(f"{key} is no well-formed '{name} : {of}'")


def verify(program: Program) -> Program:
    """Check definitions, arities, attributes and every type against the op table; gives the program back.

    Raises IRError for the first op that breaks a rule.
    """
    _declarations(program)
    known: dict[str, Value] = {}
    for value in program.inputs:
        if value.name in known:
            raise IRError(f"input {value} is defined twice")
        known[value.name] = value
    appended: set[str] = set()
    summed: dict[str, str] = {}
    for op in program.ops:
        _verify_op(program, op, known)
        _one_weight(op, summed)
        if op.state is not None:
            if op.state in appended:
                raise _fail(op, f"state @{op.state} is written twice")
            appended.add(op.state)
        for result in op.results:
            if result.name in known:
                raise _fail(op, f"{result} is defined twice")
            known[result.name] = result
    for name, value in program.outputs.items():
        if known.get(value.name) != value:
            raise IRError(f"output {name} = {value} is not defined")
    if not program.outputs:
        raise IRError("the program has no output")
    return program


def _one_weight(op: Op, summed: dict[str, str]) -> None:
    """A membrane is centred and read out with the weight it summed: another of the same shape would type as well."""
    if op.name == "spike.linear":
        summed[op.result.name] = op.weights[0]
    elif op.name in ("spike.center", "spike.read_out"):
        weight = summed.get(op.operands[0].name)
        if weight is not None and weight != op.weights[0]:
            raise _fail(op, f"the membrane summed @{weight}, not @{op.weights[0]}")
        if op.name == "spike.center" and weight is not None:
            summed[op.result.name] = weight


def _verify_op(program: Program, op: Op, known: dict[str, Value]) -> None:
    for operand in op.operands:
        if known.get(operand.name) != operand:
            raise _fail(op, f"operand {operand} : {operand.type} is not defined above")
    for name in op.weights:
        if name not in program.weights:
            raise _fail(op, f"weight @{name} is not declared")
    if op.state is not None and op.state not in program.states:
        raise _fail(op, f"state @{op.state} is not declared")
    try:
        lookup(op.name)
        if complete_attrs(lookup(op.name), op.attrs) != dict(op.attrs):
            raise IRError("attributes are not filled in (build ops with ir.Builder)")
        args = Args(
            tuple(o.type for o in op.operands),
            tuple(program.weights[w].type for w in op.weights),
            op.attrs,
            program.states[op.state].type if op.state is not None else None,
        )
        inferred = infer_types(op.name, args)
    except IRError as error:
        raise _fail(op, str(error)) from error
    declared = tuple(r.type for r in op.results)
    if inferred != declared:
        want, have = ", ".join(map(str, inferred)), ", ".join(map(str, declared))
        raise _fail(op, f"its type is {want}, not {have}")
