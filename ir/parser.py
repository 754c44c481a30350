"""Text back to programs, line by line. A malformed line is an IRError that gives its number."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from .codes import parse_code
from .errors import IRError
from .ops import OPS, complete_attrs, lookup
from .printer import FORMAT
from .program import NOWHERE, Loc, Op, Program, State, Value, Weight
from .types import (
    SYMBOLS,
    Current,
    Dim,
    FixedWeight,
    FloatWeight,
    GridWeight,
    Ints,
    Membrane,
    RowWeight,
    Segment,
    Shape,
    Spikes,
    Tensor,
    Train,
    Type,
    WeightType,
)

_CODE = r"\w+\{[^{}]*\}"
_TYPE = re.compile(r"(\w+)(?:<([^<>]*)>)?\[([^\[\]]*)\]")
_WEIGHT = re.compile(
    r"(?:f32|(?P<kind>[qr])(?P<bits>\d+)\{group=(?P<group>\d+)(?P<min>, min)?"
    rf"(?P<segments>(?:, \d+:\d+ {_CODE})*)\}}|fixed\{{frac=(?P<frac>\d+)\}})"
    r"\[(?P<shape>\d+(?:,\d+)*)\]",
    re.ASCII,
)
_SEGMENT = re.compile(rf"(\d+):(\d+) ({_CODE})", re.ASCII)
_ATOM = rf'"(?:[^"\\]|\\.)*"|\d+:\d+ {_CODE}|{_CODE}|[-+\w.]+'
_ATTR = re.compile(rf"(\w+) = (\[(?:(?:{_ATOM})(?:, |(?=\])))*\]|{_ATOM})(?:, (?=.)|$)")
_DIM = re.compile(r"[1-9][0-9]*")
_NAME = r'[^\s,%@"{}()]+'
_OP = re.compile(
    rf"(?P<results>%{_NAME}(?:, %{_NAME})*) = (?P<name>[\w.]+)"
    rf"(?: (?P<operands>%{_NAME}(?:, %{_NAME})*))?(?P<weights>(?: @{_NAME})*)(?: state @(?P<state>{_NAME}))?"
    r"(?: \{(?P<attrs>.*?)\})? : (?P<types>.+?)(?: loc\((?P<loc>.*)\))?"
)
_INNER = {
    "ints": re.compile(r"(\d+)"),
    "uints": re.compile(r"(\d+)"),
    "membrane": re.compile(r"(i32|f32), planes=(\d+)(?:, starts=(\d+(?::\d+)*))?"),
    "train": re.compile(r"T=(\d+)"),
    "current": re.compile(r"T=(\d+), frac=(\d+)"),
}


def _shape(text: str) -> Shape:
    dims: list[Dim] = []
    for part in (p.strip() for p in text.split(",")):
        if part not in SYMBOLS and not _DIM.fullmatch(part):
            raise IRError(f"'{part}' is no dimension (a positive integer, {', '.join(sorted(map(str, SYMBOLS)))})")
        dims.append(part if part in SYMBOLS else int(part))
    return tuple(dims)


def _segments(text: str, width: Dim) -> tuple[Segment, ...]:
    if not isinstance(width, int):
        raise IRError(f"spikes<{text}> need a fixed width, not {width}")
    if ":" not in text:
        return (Segment(0, width, parse_code(text)),)
    matches = [_SEGMENT.fullmatch(item.strip()) for item in re.split(r",(?![^{]*\})", text)]
    found = tuple(Segment(int(m[1]), int(m[2]), parse_code(m[3])) for m in matches if m)
    edges = [0, *(s.stop for s in found)]
    whole = len(found) == len(matches) and edges[-1] == width and [s.start for s in found] == edges[:-1]
    if not whole or any(s.start >= s.stop for s in found):
        raise IRError(f"spikes<{text}>: the segments do not cover 0:{width}")
    return found


@lru_cache(maxsize=4096)
def parse_type(text: str) -> Type:
    """`spikes<ternary{T=7}>[B,S,576]` and its kin. Raises IRError."""
    match = _TYPE.fullmatch(text.strip())
    if match is None:
        raise IRError(f"'{text}' is no type")
    kind, inner, shape = match[1], match[2], _shape(match[3])
    if kind in ("f32", "i32", "i64", "bool") and inner is None:
        return Tensor(kind, shape)
    if kind == "spikes" and inner is not None:
        return Spikes(_segments(inner, shape[-1]), shape)
    given = _INNER[kind].fullmatch(inner or "") if kind in _INNER else None
    if given is None:
        raise IRError(f"'{text}' is no {f'well-formed {kind} ' if kind in (*_INNER, 'spikes') else ''}type")
    if kind in ("ints", "uints"):
        return Ints(int(given[1]), kind == "ints", shape)
    if kind == "membrane":
        return Membrane(given[1], int(given[2]), shape, tuple(map(int, (given[3] or "0").split(":"))))
    return Train(int(given[1]), shape) if kind == "train" else Current(int(given[1]), int(given[2]), shape)


@lru_cache(maxsize=4096)
def _types(text: str) -> tuple[Type, ...]:
    types: list[Type] = []
    position = 0
    while match := _TYPE.match(text, position):
        types.append(parse_type(match[0]))
        position = match.end()
        if position == len(text):
            return tuple(types)
        if not text.startswith(", ", position):
            break
        position += 2
    raise IRError(f"cannot read the types at '{text[position:]}'")


def parse_weight_type(text: str) -> WeightType:
    """`f32[576]`, `q4{group=64}[576,576]`, `r4{group=32}[576,576]`, `fixed{frac=12}[64,64]`. Raises IRError."""
    match = _WEIGHT.fullmatch(text.strip())
    if match is None:
        raise IRError(f"'{text}' is no weight type")
    shape = tuple(int(d) for d in match["shape"].split(","))
    if match["frac"]:
        return FixedWeight(int(match["frac"]), shape)
    if not match["kind"]:
        return FloatWeight(shape)
    if len(shape) != 2:
        raise IRError(f"'{text}': a grid weight is a matrix")
    if match["kind"] == "r" and match["min"]:
        raise IRError(f"'{text}': a row's offsets are its minima, it has no others")
    if match["kind"] == "r" and match["segments"]:
        raise IRError(f"'{text}': rows on one scale are no spikes")
    bits, group, matrix = int(match["bits"]), int(match["group"]), (shape[0], shape[1])
    if match["kind"] == "r":
        return RowWeight(bits, group, matrix)
    segments = tuple(Segment(int(a), int(b), parse_code(code)) for a, b, code in _SEGMENT.findall(match["segments"]))
    return GridWeight(bits, group, bool(match["min"]), matrix, segments)


def parse_attr(text: str) -> Any:
    """One attribute value. Raises IRError."""
    text = text.strip()
    if text.startswith("["):
        return tuple(parse_attr(m[0]) for m in re.finditer(_ATOM, text[1:-1]))
    if text.startswith('"'):
        return json.loads(text)
    if text in ("true", "false"):
        return text == "true"
    if segment := _SEGMENT.fullmatch(text):
        return Segment(int(segment[1]), int(segment[2]), parse_code(segment[3]))
    if text.endswith("}"):
        return parse_code(text)
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


@lru_cache(maxsize=4096)
def _attrs(op: str, text: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    position = 0
    while text and position < len(text):
        match = _ATTR.match(text, position)
        if match is None:
            raise IRError(f"cannot read the attributes at '{text[position:]}'")
        if match[1] in given:
            raise IRError(f"attribute '{match[1]}' is given twice")
        given[match[1]] = parse_attr(match[2])
        position = match.end()
    return complete_attrs(lookup(op), given)


def _loc(text: str | None) -> Loc:
    if text is None:
        return NOWHERE
    module, *sources = json.loads(f"[{text}]")
    if not all(isinstance(part, str) for part in (module, *sources)):
        raise IRError(f'loc({text}) is not loc("module", "file:line", …)')
    return Loc(module, tuple(sources))


def _split(rest: str, pattern: str, form: str) -> tuple[str, ...]:
    match = re.fullmatch(pattern, rest)
    if match is None:
        raise IRError(f"this line reads '{form}'")
    return match.groups()


class _Reader:
    """What has been read so far; each kind of line has a method."""

    def __init__(self) -> None:
        self.versioned: set[str] | None = None
        self.inputs: list[Value] = []
        self.ops: list[Op] = []
        self.outputs: dict[str, Value] = {}
        self.weights: dict[str, Weight] = {}
        self.states: dict[str, State] = {}
        self.meta: dict[str, Any] = {}
        self.known: dict[str, Value] = {}
        self.ended = False

    def define(self, name: str, of: Type) -> Value:
        if name in self.known:
            raise IRError(f"%{name} is defined twice")
        self.known[name] = value = Value(name, of)
        return value

    def use(self, name: str) -> Value:
        if name not in self.known:
            raise IRError(f"%{name} is used before it is defined")
        return self.known[name]

    def read_ops(self, rest: str) -> None:
        self.versioned = set() if self.versioned is None else self.versioned
        for item in rest.split():
            name, version = _split(item, r"([\w.]+)=([0-9]+)", "ops name=version …")
            if int(version) != lookup(name).version:
                raise IRError(f"op {name} has version {version} here; this sdllm reads {lookup(name).version}")
            self.versioned.add(name)

    def read_meta(self, rest: str) -> None:
        key, value = _split(rest, rf"({_NAME}) = (.*)", "meta key = json")
        _once(key, self.meta, "meta")
        self.meta[key] = json.loads(value)

    def read_input(self, rest: str) -> None:
        name, of = _split(rest, rf"%({_NAME}) : (.*)", "input %name : type")
        self.inputs.append(self.define(name, parse_type(of)))

    def read_state(self, rest: str) -> None:
        name, of = _split(rest, rf"@({_NAME}) : (.*)", "state @name : type")
        _once(name, self.states, "state")
        self.states[name] = State(name, parse_type(of))

    def read_weight(self, rest: str) -> None:
        name, of, sha = _split(rest, rf"@({_NAME}) : (.+) sha256:(\w+)", "weight @name : type sha256:hash")
        _once(name, self.weights, "weight")
        self.weights[name] = Weight(name, parse_weight_type(of), sha)

    def read_output(self, rest: str) -> None:
        name, value = _split(rest, rf"({_NAME}) = %({_NAME})", "output name = %value")
        _once(name, self.outputs, "output")
        self.outputs[name] = self.use(value)

    def read_end(self, rest: str) -> None:
        if not self.outputs:
            raise IRError("the program has no output")
        self.ended = True

    def read_op(self, line: str) -> None:
        match = _OP.fullmatch(line)
        if match is None:
            raise IRError("no op, input, state, weight, meta or output")
        results, op, operands, declared, state, attrs, types_text, loc = match.groups()
        if self.versioned is not None and op not in self.versioned:
            raise IRError(f"op {lookup(op).name} has no version in the line 'ops'")
        names, types = results.split(", "), _types(types_text)
        if len(names) != len(types):
            raise IRError(f"{len(names)} results but {len(types)} types")
        weights = tuple(w[1:] for w in declared.split())
        missing = [w for w in weights if w not in self.weights]
        if missing:
            raise IRError(f"weight @{missing[0]} is not declared")
        if state and state not in self.states:
            raise IRError(f"state @{state} is not declared")
        read = tuple(self.use(o[1:]) for o in operands.split(", ")) if operands else ()
        full = dict(_attrs(op, attrs))
        made = tuple(self.define(n[1:], t) for n, t in zip(names, types, strict=True))
        self.ops.append(Op(op, read, made, full, weights, state, _loc(loc)))


def _once(name: str, known: dict[str, Any], what: str) -> None:
    if name in known:
        raise IRError(f"{what} {name} is declared twice")


def parse_program(text: str, name: str = "<text>") -> Program:
    """The program of a text. Raises IRError: `name:line: what is wrong`.

    Reads only the format and op versions that this package has: an old or newer file is refused, not guessed at.
    """
    lines = text.splitlines()
    if not lines or not re.fullmatch(r"spike-ir \d+", lines[0]):
        raise IRError(f"{name}:1: not a spike program (its first line reads 'spike-ir {FORMAT}')")
    if lines[0] != f"spike-ir {FORMAT}":
        raise IRError(f"{name}:1: format {lines[0].split()[1]}; this sdllm reads {FORMAT}: compile the model again")
    reader = _Reader()
    for number, line in enumerate(lines[1:], 2):
        stripped = line.strip()
        if not stripped or stripped.startswith("//"):
            continue
        keyword, _, rest = stripped.partition(" ")
        try:
            if reader.ended:
                raise IRError("there is more after 'end'")
            if keyword in ("ops", "meta", "input", "state", "weight", "output", "end"):
                getattr(reader, f"read_{keyword}")(rest)
            else:
                reader.read_op(stripped)
        except (IRError, ValueError) as error:
            raise IRError(f"{name}:{number}: {error}") from error
    if not reader.ended:
        raise IRError(f"{name}:{len(lines)}: the text stops before its line 'end': the file is incomplete")
    return Program(tuple(reader.inputs), tuple(reader.ops), reader.outputs, reader.weights, reader.states, reader.meta)


__all__ = ["OPS", "parse_attr", "parse_program", "parse_type", "parse_weight_type"]
