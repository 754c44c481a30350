"""The text of an emitted model: the program's ops in order, each under its own line of IR."""

from __future__ import annotations

import keyword
import re
from dataclasses import asdict, replace

import jinja2

from ...ir import NOWHERE, Current, Op, Program, State, Tensor, Train, print_op
from ..container import program_hash
from ..counting import blank_counts
from .constants import Constants
from .frame import MODEL
from .printers import PRINTERS, Line

# What every forward pass of the frame names; no value may take these.
RESERVED = frozenset({"self", "given", "state", "w", "counts", "B", "S", "P", "np"})

DTYPES = {"f32": "float32", "i32": "int32", "i64": "int64", "bool": "bool"}


def _variables(program: Program) -> dict[str, str]:
    """A Python variable for each value: %7 is v7, %ids is ids."""
    taken = set(RESERVED) | {"session", "spikes", "dense", "attention", "lif"}
    found: dict[str, str] = {}
    for value in program.values():
        plain = re.sub(r"\W", "_", value.name)
        name = f"v{plain}" if not plain.isidentifier() or keyword.iskeyword(plain) else plain
        while name in taken:
            name += "_"
        taken.add(name)
        found[value.name] = name
    return found


def _dying(program: Program) -> list[list[str]]:
    """For each op, the values that nothing reads after it."""
    seen = {v.name for v in program.outputs.values()}
    found: list[list[str]] = []
    for op in reversed(program.ops):
        names = dict.fromkeys(v.name for v in (*op.operands, *op.results))
        found.append([n for n in names if n not in seen])
        seen.update(names)
    return found[::-1]


def _heading(op: Op) -> str:
    """Where an op comes from, in one line whatever characters are in it."""
    return str(op.loc).removeprefix("loc(").removesuffix(")") if op.loc != NOWHERE else "of no module"


def statements(program: Program, names: dict[str, str], constants: Constants) -> list[str]:
    """The statement that each op becomes."""
    made = []
    for op in program.ops:
        results = ", ".join(names[r.name] for r in op.results)
        made.append(f"{results} = {PRINTERS[op.name](Line(op, program, names, constants))}")
    return made


def became(program: Program) -> dict[str, str]:
    """What each op became, by result name: its statement in `model.py`."""
    texts = statements(program, _variables(program), Constants())
    return {op.result.name: text for op, text in zip(program.ops, texts, strict=True)}


def _body(program: Program, names: dict[str, str], constants: Constants) -> list[str]:
    lines: list[str] = []
    heading = ""
    texts = statements(program, names, constants)
    for op, text, dying in zip(program.ops, texts, _dying(program), strict=True):
        if (now := _heading(op)) != heading:
            heading = now
            lines += ["", f"# ==== {heading} ===="]
        lines.append(f"# {print_op(replace(op, loc=NOWHERE))}")
        lines.append(text)
        if dying:
            lines.append(f"del {', '.join(names[n] for n in dying)}")
    return lines


def _state(state: State) -> tuple[str, tuple[int | str, ...]]:
    """dtype and shape of a state's array."""
    of = state.type
    if isinstance(of, Train | Current):
        return ("int8" if isinstance(of, Train) else "int32"), (of.steps, *of.shape)
    return (DTYPES[of.dtype] if isinstance(of, Tensor) else "int32"), of.shape


def model_source(program: Program) -> str:
    """`model.py` of a program whose ops all have a printer."""
    names, constants = _variables(program), Constants()
    counts = [
        {k: v for k, v in asdict(c).items() if k in ("op", "module", "code")} for c in blank_counts(program).values()
    ]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    body = _body(program, names, constants)
    return environment.from_string(MODEL).render(
        program_hash=program_hash(program),
        inputs={v.name: names[v.name] for v in program.inputs},
        outputs={name: names[v.name] for name, v in program.outputs.items()},
        states={s.name: _state(s) for s in program.states.values()},
        counts=counts,
        constants=constants.lines(),
        classes=constants.codes(),
        body=body,
    )
