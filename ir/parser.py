"""Text back to programs, line by line. A malformed line is an IRError that gives its number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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
    Segment,
    Shape,
    Spikes,
    Tensor,
    Train,
    Type,
    WeightType,
)

_TYPE = re.compile(r"(\w+)(?:<(.*?)>)?\[([^\]]*)\]")
_WEIGHT = re.compile(r"(f32|q(\d+)\{group=(\d+)(, min)?\}|fixed\{frac=(\d+)\})\[([\d,]*)\]")
_SEGMENT = re.compile(r"(\d+):(\d+) (\w+\{[^}]*\})")
_ATOM = re.compile(r'"(?:[^"\\]|\\.)*"|\d+:\d+ \w+\{[^}]*\}|\w+\{[^}]*\}|[-+\w.]+')
_OP = re.compile(
    r"(?P<results>(?:%\S+, )*%\S+) = (?P<name>[\w.]+)"
    r"(?P<operands>(?: %[^\s,]+,?)*)(?P<weights>(?: @\S+)*)(?: state @(?P<state>\S+))?"
    r"(?: \{(?P<attrs>.*)\})? : (?P<types>.+?)(?: loc\((?P<loc>.*)\))?"
)


def _shape(text: str) -> Shape:
    dims: list[Dim] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        if part not in SYMBOLS and not part.isdigit():
            raise IRError(f"'{part}' is no dimension (an integer, {', '.join(map(str, sorted(SYMBOLS, key=str)))})")
        dims.append(part if part in SYMBOLS else int(part))
    return tuple(dims)


def _segments(text: str, width: Dim) -> tuple[Segment, ...]:
    found = tuple(Segment(int(a), int(b), parse_code(c)) for a, b, c in _SEGMENT.findall(text))
    if found:
        return found
    if not isinstance(width, int):
        raise IRError(f"spikes<{text}> need a fixed width, not {width}")
    return (Segment(0, width, parse_code(text)),)


def _fields(text: str) -> dict[str, str]:
    return dict(p.strip().split("=", 1) for p in text.split(",") if "=" in p)


def parse_type(text: str) -> Type:
    """`spikes<ternary{T=7}>[B,S,576]` and its kin. Raises IRError."""
    match = _TYPE.fullmatch(text.strip())
    if match is None:
        raise IRError(f"'{text}' is no type")
    kind, inner, shape = match[1], match[2] or "", _shape(match[3])
    given = _fields(inner)
    makers: dict[str, Callable[[], Type]] = {
        "spikes": lambda: Spikes(_segments(inner, shape[-1]), shape),
        "ints": lambda: Ints(int(inner), True, shape),
        "uints": lambda: Ints(int(inner), False, shape),
        "membrane": lambda: Membrane(
            inner.split(",")[0],
            int(given["planes"]),
            shape,
            tuple(map(int, given.get("starts", "0").split(":"))),
        ),
        "train": lambda: Train(int(given["T"]), shape),
        "current": lambda: Current(int(given["T"]), int(given["frac"]), shape),
    }
    if kind in ("f32", "i32", "i64", "bool"):
        return Tensor(kind, shape)
    if kind not in makers:
        raise IRError(f"'{text}' is no type")
    try:
        return makers[kind]()
    except (KeyError, ValueError, IndexError) as error:
        raise IRError(f"'{text}' is no well-formed {kind} type") from error


def _types(text: str) -> tuple[Type, ...]:
    return tuple(parse_type(m[0]) for m in _TYPE.finditer(text))


def parse_weight_type(text: str) -> WeightType:
    """`f32[576]`, `q4{group=64}[576,576]`, `fixed{frac=12}[64,64]`. Raises IRError."""
    match = _WEIGHT.fullmatch(text.strip())
    if match is None:
        raise IRError(f"'{text}' is no weight type")
    shape = tuple(int(d) for d in match[6].split(",") if d)
    if match[2]:
        if len(shape) != 2:
            raise IRError(f"'{text}': a grid weight is a matrix")
        return GridWeight(int(match[2]), int(match[3]), bool(match[4]), (shape[0], shape[1]))
    return FixedWeight(int(match[5]), shape) if match[5] else FloatWeight(shape)


def parse_attr(text: str) -> Any:
    """One attribute value. Raises IRError."""
    text = text.strip()
    if text.startswith("["):
        return tuple(parse_attr(m[0]) for m in _ATOM.finditer(text[1:-1]))
    if text.startswith('"'):
        return json.loads(text)
    if text in ("true", "false"):
        return text == "true"
    if segment := _SEGMENT.fullmatch(text):
        return Segment(int(segment[1]), int(segment[2]), parse_code(segment[3]))
    if text.endswith("}"):
        return parse_code(text)
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _attrs(text: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pattern = re.compile(r'(\w+) = (\[[^\]]*\]|"(?:[^"\\]|\\.)*"|\w+\{[^}]*\}|[^,\s]+)(?:, |$)')
    position = 0
    while text and position < len(text):
        match = pattern.match(text, position)
        if match is None:
            raise IRError(f"cannot read the attributes at '{text[position:]}'")
        found[match[1]] = parse_attr(match[2])
        position = match.end()
    return found


class _Reader:
    """What has been read so far; each kind of line has a method."""

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.ops: list[Op] = []
        self.outputs: dict[str, Value] = {}
        self.weights: dict[str, Weight] = {}
        self.states: dict[str, State] = {}
        self.meta: dict[str, Any] = {}
        self.known: dict[str, Value] = {}

    def define(self, name: str, of: Type) -> Value:
        if name in self.known:
            raise IRError(f"%{name} is defined twice")
        self.known[name] = value = Value(name, of)
        return value

    def use(self, text: str) -> Value:
        name = text.strip().lstrip("%")
        if name not in self.known:
            raise IRError(f"%{name} is used before it is defined")
        return self.known[name]

    def read_ops(self, rest: str) -> None:
        for item in rest.split():
            name, _, version = item.partition("=")
            if int(version) != lookup(name).version:
                raise IRError(f"op {name} has version {version} here; this sdllm reads {lookup(name).version}")

    def read_meta(self, rest: str) -> None:
        key, _, value = rest.partition(" = ")
        self.meta[key] = json.loads(value)

    def read_input(self, rest: str) -> None:
        name, _, of = rest.partition(" : ")
        self.inputs.append(self.define(name[1:], parse_type(of)))

    def read_state(self, rest: str) -> None:
        name, _, of = rest.partition(" : ")
        self.states[name[1:]] = State(name[1:], parse_type(of))

    def read_weight(self, rest: str) -> None:
        match = re.fullmatch(r"@(\S+) : (.+) sha256:(\w+)", rest)
        if match is None:
            raise IRError("a weight reads '@name : type sha256:hash'")
        self.weights[match[1]] = Weight(match[1], parse_weight_type(match[2]), match[3])

    def read_output(self, rest: str) -> None:
        name, _, value = rest.partition(" = ")
        self.outputs[name] = self.use(value)

    def read_op(self, line: str) -> None:
        match = _OP.fullmatch(line)
        if match is None:
            raise IRError("no op, input, state, weight, meta or output")
        names = match["results"].split(", ")
        types = _types(match["types"])
        if len(names) != len(types):
            raise IRError(f"{len(names)} results but {len(types)} types")
        weights = tuple(w[1:] for w in match["weights"].split())
        missing = [w for w in weights if w not in self.weights]
        if missing:
            raise IRError(f"weight @{missing[0]} is not declared")
        if match["state"] and match["state"] not in self.states:
            raise IRError(f"state @{match['state']} is not declared")
        operands = tuple(self.use(o) for o in match["operands"].replace(",", " ").split())
        loc = NOWHERE
        if match["loc"]:
            module, *sources = json.loads(f"[{match['loc']}]")
            loc = Loc(module, tuple(sources))
        attrs = complete_attrs(lookup(match["name"]), _attrs(match["attrs"]))
        results = tuple(self.define(n[1:], t) for n, t in zip(names, types, strict=True))
        self.ops.append(Op(match["name"], operands, results, attrs, weights, match["state"], loc))


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
            if keyword in ("ops", "meta", "input", "state", "weight", "output"):
                getattr(reader, f"read_{keyword}")(rest)
            else:
                reader.read_op(stripped)
        except (IRError, ValueError) as error:
            raise IRError(f"{name}:{number}: {error}") from error
    if not reader.outputs:
        raise IRError(f"{name}:{len(lines)}: the program has no output: its end is missing")
    return Program(tuple(reader.inputs), tuple(reader.ops), reader.outputs, reader.weights, reader.states, reader.meta)


__all__ = ["OPS", "parse_attr", "parse_program", "parse_type", "parse_weight_type"]
