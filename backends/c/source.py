"""model.c: the schedule as C, a function for each layer, each call under the lines of the program it carries out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

import jinja2

from ...ir import NOWHERE, Op, Spikes, Train, Value, print_op
from ...ir.types import planes
from ..container import program_hash
from ..counting import code_text, spiked_operand
from .emitter import Emitter, ctype, dims, quoted
from .frame import MODEL
from .lif import spiking
from .schedule import row_of
from .steps import Step
from .views import ALL, size_of

ROLES = {"ids": "SD_IDS", "positions": "SD_POSITIONS", "mask": "SD_MASK", "types": "SD_ZEROS"}


def model_source(e: Emitter) -> str:
    """The text of model.c."""
    counted, histogram, cells, steps = _counted(e)  # first, as it adds tables and sections
    program = e.program
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    digest = bytes.fromhex(program_hash(program))
    layers = _layers(e)
    outputs = list(program.outputs.items())
    names = [name for name, _ in outputs]
    logits = names.index("logits") if "logits" in names and row_of(dims(outputs[names.index("logits")][1].type)) else -1
    fixed = -(-e.arena.bytes("tokens") // 64) * 64
    return environment.from_string(MODEL).render(
        hash=", ".join(f"0x{b:02x}" for b in digest),
        name=quoted(str(program.meta.get("architecture", program.meta.get("family", "model")))),
        tables=[key.replace("%s", name, 1) for key, name in e.tables.items()],
        sections=[(s.size, int(s.hot)) for s in e.sections.sections],
        kept=[kept(e, name) for name in e.states],
        inputs=[(quoted(v.name), ROLES.get(v.name, "SD_RAW"), *_by_token(v)) for v in program.inputs],
        outputs=[(quoted(name), *_by_token(v)) for name, v in outputs],
        counted=counted,
        histogram=histogram,
        cells=cells,
        steps=steps,
        logits=logits,
        vocabulary=_vocabulary(e),
        context=e.context,
        most=int(program.meta.get("max_positions") or 0) if e.chunk else e.context,
        chunk=e.chunk,
        fixed=fixed,
        growing=e.arena.bytes("context"),
        scratch=e.scratch,
        scratch_context=e.scratch_context,
        layers=layers,
    )


def _by_token(value: Value) -> tuple[int, int]:
    """Bytes of an element, and elements of a token, or 0 where it is not laid out by token."""
    return size_of(ctype(value.type)), row_of(dims(value.type))


def kept(e: Emitter, name: str) -> tuple[int, int, int]:
    """Bytes of an element, and elements before and after the axis of tokens, of a state."""
    op = next(op for op in e.program.ops if op.state == name)
    whole = dims(op.result.type)
    axis = whole.index(ALL)
    size = size_of(e.kept_type(op))
    outer = inner = 1
    for d in whole[:axis]:
        outer *= int(d)
    for d in whole[axis + 1 :]:
        inner *= int(d)
    return size, outer, inner


def _vocabulary(e: Emitter) -> int:
    """Ids that every table of them has a row for; 0 if they go to no table."""
    found = [
        e.program.weights[op.weights[0]].type.shape[0] - op.attrs["offset"]
        for op in e.program.ops
        if op.name == "nn.embed" and op.operands[0].name == "ids"
    ]
    return min(found, default=0)


def _counted(e: Emitter) -> tuple[list[str], int, int, int]:
    """The products that are counted, with the sizes of what counts them."""
    made: list[str] = []
    histogram, cells, steps = 0, 0, 1
    for op in e.products:
        of = spiked_operand(op)
        segments = spiking(of) if isinstance(of, Train) else of.segments
        of_planes = (
            planes(of.starts, e.program.weights[op.weights[0]].type)
            if op.name == "spike.linear" and isinstance(of, Spikes)
            else None
        )
        places, updates = [], []
        for i, s in enumerate(segments):
            places.append(histogram)
            histogram += s.code.hi - s.code.lo + 1
            among = sum(p.segment == i for p in of_planes) if of_planes else 1
            updates.append((sum(s.code.doublings) + sum(s.code.ramps)) * among)
            steps = max(steps, s.code.steps)
        text = ", ".join(map(quoted, (op.result.name, op.loc.module, code_text(of))))
        made.append(
            f"{{{text}, {len(segments)}, {e.codes(segments)}, {e.numbers('places', places)}, "
            f"{e.numbers('updates', updates)}, {cells}}}"
        )
        cells += len(segments)
    return made, histogram, cells, steps


def _layer(op: Op) -> str | None:
    """The number of the layer that an op belongs to, from its module path."""
    found = re.search(r"\.(\d+)(?:\.|$)", op.loc.module)
    return found[1] if found else None


def _layers(e: Emitter) -> list[tuple[str, list[str]]]:
    """Functions and their lines: one for each run of steps of one layer."""
    made: list[tuple[str, list[Step]]] = []
    for step in e.steps:
        numbers = [n for n in map(_layer, step.ops) if n is not None]
        plain = step.ops and not numbers and any(op.loc != NOWHERE for op in step.ops)
        key = f"layer_{numbers[0]}" if numbers else "between" if plain or not made else made[-1][0]
        if not made or made[-1][0] != key:
            made.append((key, []))
        made[-1][1].append(step)
    names: list[str] = []
    for key, _ in made:
        name, again = key, 2
        while name in names:
            name, again = f"{key}_{again}", again + 1
        names.append(name)
    return [(name, _body(e, steps)) for name, (_, steps) in zip(names, made, strict=True)]


def _body(e: Emitter, steps: list[Step]) -> list[str]:
    lines: list[str] = []
    for (small, guard), some in groupby(steps, lambda step: (step.small, step.guard)):
        run = list(some)
        body: list[str] = []
        for i, step in enumerate(run):
            body += ["", *(_comment(op) for op in step.ops), *step.lines]
            if i + 1 == len(run) or run[i + 1].kind != step.kind:
                body.append(f"sd_clock(t, {step.kind});")
        lines.append("")
        if small:
            body = _within("if (sd_small(t)) {", [*body[1:], "sd_done(t);"])
        if guard:
            body = _within(f"if ({guard}) {{", body)
        lines += body if small or guard else body[1:]
    text = "\n".join(line for line in lines if not line.lstrip().startswith("/*"))
    head = ["const struct sd_kernels *const K = t->k;"] if "K->" in text else []
    for name in _used(text):
        kind, place = e.pointers[name]
        if place.startswith(("t->in", "t->out")):
            head.append(f"{kind} *const {name} = {place};")
        else:
            head.append(f"{kind} *const {name} = ({kind} *)(void *){place};")
    return [*head, *lines]


def _within(head: str, body: list[str]) -> list[str]:
    """A block of C."""
    return [head, *(f"    {line}" if line else "" for line in body), "}"]


def _used(text: str) -> Iterable[str]:
    found = set(re.findall(r"\ba\d+\b", text))
    return sorted(found, key=lambda name: int(name[1:]))


def _comment(op: Op) -> str:
    """The op's line of the program, and where it comes from, as a comment."""
    where = f"  <- {op.loc.module}" if op.loc.module else ""
    text = print_op(replace(op, loc=NOWHERE)) + where
    plain = "".join(c if c >= " " else " " for c in text)
    return f"/* {plain.replace('*/', '* /').replace('/*', '/ *')} */"
