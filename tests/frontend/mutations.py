"""Wrong programs: one attribute of one op changed, each of which the family checks must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sdllm.ir import Op, Program

# What an attribute is changed to. Attributes that only say where elements go (axes, shapes) are left to the verifier.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "alibi": lambda v: not v,
    "by": lambda v: 1.0 if v != 1.0 else 1.1,
    "cap": lambda v: 1.5 * v,
    "causal": lambda v: not v,
    "eps": lambda v: v + 0.1,
    "gain_offset": lambda v: 1.0 - v,
    "kind": lambda v: "relu" if v != "relu" else "gelu",
    "layout": lambda v: "interleaved" if v == "half" else "half",
    "offset": lambda v: v - 1 if v else 1,
    "scale": lambda v: 1.1 * v,
    "scaling": lambda v: 1.0 if v != 1.0 else 1.1,
    "softcap": lambda v: 0.0 if v else 1.0,
    "window": lambda v: 0 if v else 4,
}


def mutants(program: Program) -> Iterator[tuple[str, Program]]:
    """For each kind of op, attribute and value: the first such op with that attribute changed."""
    seen: set[tuple[str, str, str]] = set()
    for index, op in enumerate(program.ops):
        for name, change in CHANGES.items():
            if name not in op.attrs:
                continue
            value = op.attrs[name]
            key = (op.name, name, repr(value))
            if key in seen or change(value) == value:
                continue
            seen.add(key)
            wrong = replace(op, attrs={**op.attrs, name: change(value)})
            yield f"{op.name} {name} {value} -> {change(value)}", _with(program, index, wrong)
        swapped = _swapped(op)
        if swapped is not None and (op.name, "operands", "") not in seen:
            seen.add((op.name, "operands", ""))
            yield f"{op.name} operands exchanged", _with(program, index, swapped)


def _swapped(op: Op) -> Op | None:
    """Keys and values exchanged."""
    if op.name != "nn.attend":
        return None
    q, k, v, mask = op.operands
    return replace(op, operands=(q, v, k, mask))


def _with(program: Program, index: int, op: Op) -> Program:
    return replace(program, ops=(*program.ops[:index], op, *program.ops[index + 1 :]))


def sharpened(program: Program) -> Iterator[tuple[str, Program]]:
    """Windows one shorter and one longer: off by one must be seen too."""
    for index, op in enumerate(program.ops):
        if op.attrs.get("window"):
            for step in (-1, 1):
                wrong = replace(op, attrs={**op.attrs, "window": op.attrs["window"] + step})
                yield f"{op.name} window {step:+d}", _with(program, index, wrong)
            return
