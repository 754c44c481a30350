"""Programs as text: one line an op, in order, so that a diff of two texts is a diff of two programs."""

from __future__ import annotations

import json
import re
from typing import Any

from .codes import Code
from .ops import OPS, lookup
from .program import NOWHERE, Op, Program
from .types import Segment

FORMAT = 1
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def print_attr(value: Any) -> str:
    """An attribute value as the parser reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Code):
        return repr(value) if isinstance(value, int | float) else str(value)
    if isinstance(value, Segment):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(print_attr(v) for v in value) + "]"
    plain = WORD.fullmatch(value) and value.lower() not in ("true", "false", "inf", "infinity", "nan")
    return value if plain else json.dumps(value)


def print_op(op: Op) -> str:
    """One line; attributes at their default are left out."""
    table = lookup(op.name).attrs
    shown = {k: v for k, v in op.attrs.items() if k not in table or table[k].required or v != table[k].default}
    parts = [", ".join(map(str, op.results)), "=", op.name]
    if op.operands:
        parts.append(", ".join(map(str, op.operands)))
    parts += [f"@{w}" for w in op.weights]
    if op.state is not None:
        parts.append(f"state @{op.state}")
    if shown:
        parts.append("{" + ", ".join(f"{k} = {print_attr(v)}" for k, v in shown.items()) + "}")
    parts += [":", ", ".join(str(r.type) for r in op.results)]
    if op.loc != NOWHERE:
        parts.append(str(op.loc))
    return " ".join(parts)


def print_program(program: Program) -> str:
    """The whole text, with the version of the format and of each op used."""
    names = sorted({op.name for op in program.ops})
    lines = [f"spike-ir {FORMAT}"]
    lines.append("ops " + " ".join(f"{n}={OPS[n].version}" for n in names))
    lines += [f"meta {k} = {json.dumps(program.meta[k], sort_keys=True)}" for k in sorted(program.meta)]
    lines += [f"input {v} : {v.type}" for v in program.inputs]
    lines += [f"state @{s.name} : {s.type}" for s in program.states.values()]
    lines += [f"weight @{w.name} : {w.type} sha256:{w.sha256}" for w in program.weights.values()]
    lines += [print_op(op) for op in program.ops]
    lines += [f"output {name} = {value}" for name, value in program.outputs.items()]
    lines.append("end")
    return "\n".join(lines) + "\n"
