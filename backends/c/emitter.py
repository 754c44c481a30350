"""What printers write into: values and where they lie, weight sections, constant tables, and the schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import (
    Code,
    Current,
    FixedWeight,
    FloatWeight,
    GridWeight,
    Ints,
    IRError,
    Membrane,
    Op,
    Program,
    RowWeight,
    Segment,
    Spikes,
    Store,
    Tensor,
    Train,
    Type,
    Value,
    dequantize,
)
from ...ir.store import integers
from ..counting import DRIVEN
from .arena import Arena
from .costs import read, where
from .kept import halves
from .options import Options
from .pack import Cell, interleaved, matrix, nibble_lines, trains
from .steps import Step
from .views import ALL, HALF, NEW, Size, Slot, View, call, size_of
from .weightfile import Sections

Array = NDArray[Any]

_SUMMED = 4096  # most nibbles whose products with 16 bits are summed in 32

SIZES: dict[str, Size] = {"S": NEW, "P": "t->P", "P+S": ALL}
MOST_STEPS = 7  # of a train: its steps are the bits of an int8
CTYPES = {"f32": "float", "i32": "int32_t", "i64": "int64_t", "bool": "bool"}


def ctype(of: Type) -> str:
    """The C type of a value's elements. Raises IRError for what this backend does not hold."""
    if isinstance(of, Tensor):
        return CTYPES[of.dtype]
    if isinstance(of, Spikes):
        low, high = min(s.code.lo for s in of.segments), max(s.code.hi for s in of.segments)
        return "int8_t" if low >= -128 and high <= 127 else "int16_t" if low >= -32768 and high <= 32767 else "int32_t"
    if isinstance(of, Membrane):
        return CTYPES[of.dtype]
    if isinstance(of, Ints | Current):
        return "int32_t"
    if isinstance(of, Train) and of.steps <= MOST_STEPS:
        return "int8_t"
    raise IRError(f"{of} has no form in C yet")


def dims(of: Type) -> tuple[Size, ...]:
    """Sizes of a value's axes, without those of one sequence; a current's steps stand before its last axis."""
    shape = list(of.shape)
    if isinstance(of, Current):
        shape.insert(-1, of.steps)
    if isinstance(of, Membrane):
        shape.insert(-1, of.planes)
    return tuple(SIZES.get(d, d) if isinstance(d, str) else d for d in shape if d != "B")


def axis_of(of: Type, axis: int) -> int | None:
    """An axis of the type as one of the view; None for the axis of sequences."""
    axis %= len(of.shape)
    return None if of.shape[axis] == "B" else axis - sum(d == "B" for d in of.shape[:axis])


def quoted(text: str) -> str:
    """A C string literal, in ASCII."""
    plain = "".join(
        c if " " <= c <= "~" and c not in '"\\?' else "".join(f"\\{b:03o}" for b in c.encode()) for c in text
    )
    return f'"{plain}"'


def number(x: float) -> str:
    """A C float literal of the nearest float32."""
    value = float(np.float32(x))
    if value in (float("inf"), float("-inf")):
        return f"{'-' * (value < 0)}INFINITY"
    text = repr(value)
    return text + ("f" if "." in text or "e" in text else ".0f")


class Emitter:
    """One program on its way to C."""

    def __init__(self, program: Program, store: Store, options: Options) -> None:
        self.program, self.store, self.options = program, store, options
        self.context = options.tokens(program)
        causal = bool(program.meta.get("causal", True))
        self.chunk = min(64, self.context) if causal else 0
        self.most_tokens = self.chunk or -(-self.context // 16) * 16  # that go through at once
        self.arena = Arena(self.most_tokens)
        self.sections = Sections()
        self.views: dict[str, View] = {}
        self.steps: list[Step] = []
        self.tables: dict[str, str] = {}  # C text of a constant to its name
        self.scratch = self.scratch_context = 0
        self.turns: dict[tuple[str, str, float], View] = {}
        self.pointers: dict[str, tuple[str, str]] = {}  # variable to its C type and place
        self.products = [op for op in program.ops if op.name in DRIVEN]
        self.states = list(program.states)
        self.halves = halves(program) if options.kv == "f16" else set()
        self.costs = read(where(options.costs)) if options.kernels == "auto" else None
        self.firing: Mapping[str, float] = program.meta.get("firing", {})  # shares of counts that are not 0
        self.centred: set[str] = set()
        self.direct: dict[str, View] = {}  # values that are made in the caller's memory
        self.temporary: list[Slot] = []
        self.kernels: list[dict[str, Any]] = []  # which kernel each linear group has

    # ---- values ----

    def view(self, value: Value) -> View:
        return self.views[value.name]

    def _pointer(self, kind: str, place: str) -> str:
        """A variable for a place, the same for the same place."""
        for name, known in self.pointers.items():
            if known == (kind, place):
                return name
        name = f"a{len(self.pointers)}"
        self.pointers[name] = (kind, place)
        return name

    def room(self, kind: str, shape: tuple[Size, ...], *, row: int = 0) -> View:
        """Memory for a new value. Rows of tokens stand at whole lines; `row`: elements of one, if more than needed."""
        size = size_of(kind)
        if ALL in shape or "t->P" in shape:
            return self._room_context(kind, shape, size)
        if shape.count(NEW) > 1:  # without a past, as encoders are, the new tokens are all
            last = len(shape) - 1 - shape[::-1].index(NEW)
            return replace(self._room_context(kind, (*shape[:last], ALL, *shape[last + 1 :]), size), dims=shape)
        known = [d for d in shape if isinstance(d, int)]
        row = row or prod(known)
        row = -(-row * size // 64) * 64 // size
        slot, place = self.arena.take(row * size)
        strides: list[Size] = []
        left = prod(known)
        for d in shape:
            if isinstance(d, int):
                left //= d
                strides.append(left)
            else:
                strides.append(row)
        return View(self._pointer(kind, place), kind, shape, tuple(strides), slot)

    def _room_context(self, kind: str, shape: tuple[Size, ...], size: int) -> View:
        most = {NEW: self.most_tokens}
        strides: list[Size] = []
        each, grows = 1, False
        for d in reversed(shape):
            strides.append(f"{each} * t->C" if grows else each)
            if d == ALL:
                if grows:
                    raise IRError("a value with two axes of all tokens has no form in C yet")
                grows = True
            else:
                each *= most[d] if isinstance(d, str) else d
        slot, place = self.arena.take_context(-(-each * size // 4) * 4)
        return View(self._pointer(kind, place), kind, shape, tuple(strides[::-1]), slot)

    def new(self, value: Value) -> View:
        """Memory for a result."""
        made = self.room(ctype(value.type), dims(value.type))
        self.views[value.name] = made
        return made

    def need(self, numbers: int, context: int = 0) -> None:
        """Room that a kernel takes in a thread's scratch: so many bytes, and for each token of the context."""
        self.scratch = max(self.scratch, numbers)
        self.scratch_context = max(self.scratch_context, context)

    def step(
        self, ops: Sequence[Op], lines: list[str], *, kind: str = "SD_REST", guard: str = "", small: bool = True
    ) -> None:
        """Append a kernel call."""
        self.steps.append(Step(tuple(ops), lines, kind, guard, small))

    def copy(self, op: Op, view: View, to: View) -> None:
        """Move elements; both views have one shape."""
        line = call("sd_copy", view.size, view.shape, to.place, view.place)
        self.step([op], [line])

    def packed(self, op: Op, view: View) -> View:
        """The view, or a copy, whose last axis is one run."""
        if not view.dims or view.dims[-1] == 1 or view.strides[-1] == 1:
            return view
        to = self.room(view.ctype, view.dims)
        self.temporary.append(to.slot)
        self.copy(op, view, to)
        return to

    def kept(self, kind: str, index: int) -> str:
        """The array of a state."""
        return self._pointer(kind, f"SD_KEPT({index})")

    def kept_type(self, append: Op) -> str:
        """The C type of the state that an op appends to."""
        return HALF if append.result.name in self.halves else ctype(append.operands[0].type)

    def given(self, kind: str, index: int) -> str:
        """The array of an input."""
        return self._pointer(f"const {kind}", f"t->in[{index}]")

    def wanted(self, kind: str, index: int) -> str:
        """The caller's memory for an output."""
        return self._pointer(kind, f"t->out[{index}]")

    # ---- tables ----

    def table(self, kind: str, name: str, body: str, array: bool = True) -> str:
        """The name of a constant of that C type and text."""
        key = f"static const {kind} %s{'[]' * array} = {body};"
        if key not in self.tables:
            self.tables[key] = f"{name}_{len(self.tables)}"
        return self.tables[key]

    def numbers(self, name: str, items: Sequence[int], kind: str = "sd_int") -> str:
        return self.table(kind, name, "{" + ", ".join(map(str, items)) + "}")

    def segments(self, of: Spikes) -> str:
        """First channels of the segments, and their end."""
        return self.numbers("segments", [*of.starts, of.segments[-1].stop])

    def cells(self, runs: Sequence[Cell]) -> str:
        rows = ", ".join(
            f"{{{r.start}, {r.stop}, {r.at}, {r.padded}, {r.first}, {r.plane}, {r.segment}}}" for r in runs
        )
        return self.table("struct sd_cell", "cells", f"{{{rows}}}")

    def code(self, code: Code) -> str:
        """The trains of a code."""
        if (code.hi - code.lo + 1) * code.steps > 2**26 or code.steps > 2**15 - 1:
            raise IRError(f"{code}: its trains are too many to be stored")
        made: list[tuple[Array, Array]] = []

        def part(which: int) -> Array:
            if not made:
                made.append(trains(code))
            return made[0][which]

        spikes = int(code.spikes(np.arange(code.lo, code.hi + 1)).sum())
        first = self.sections.add((code, "first"), 4 * (code.hi - code.lo + 2), lambda: part(0))
        items = self.sections.add((code, "items"), 2 * spikes, lambda: part(1))
        body = f"{{{code.lo}, {code.hi}, {code.steps}, {first}, {items}}}"
        return self.table("struct sd_trains", "code", body, array=False)

    def codes(self, segments: Sequence[Segment]) -> str:
        """Pointers to the trains of segments."""
        items = ", ".join(f"&{self.code(s.code)}" for s in segments)
        return self.table("struct sd_trains *const", "codes", f"{{{items}}}")

    # ---- weights ----

    def floats(self, name: str) -> str:
        """A float32 weight as a pointer."""
        weight = self.program.weights[name]
        size = 4 * prod(weight.type.shape)
        number = self.sections.add(
            (weight.sha256, "floats"), size, lambda: dequantize(weight.type, self.store.get(weight)).astype("<f4")
        )
        return f"SD_FLOATS({number})"

    def integers(self, name: str) -> str:
        """What spikes add, int32 [out, in] (or the values of a float weight), as a pointer."""
        weight = self.program.weights[name]
        of = weight.type
        if isinstance(of, FloatWeight):
            return self.floats(name)
        if not isinstance(of, GridWeight | RowWeight):
            raise IRError(f"@{name}: {of} has no integers")
        grid = of
        number = self.sections.add(
            (weight.sha256, "integers"),
            4 * prod(of.shape),
            lambda: integers(grid, self.store.get(weight)).astype("<i4"),
        )
        return f"t->w[{number}]"

    def fixed(self, name: str) -> str:
        """A fixed-point weight, int16 [in, out] or [out], as a pointer."""
        weight = self.program.weights[name]
        assert isinstance(weight.type, FixedWeight)
        number = self.sections.add(
            (weight.sha256, "columns"),
            2 * prod(weight.type.shape),
            lambda: np.ascontiguousarray(self.store.get(weight)["codes"].T).astype("<i2"),
        )
        return f"t->w[{number}]"

    def part(self, name: str, part: str) -> str:
        """Scales or minima as float32, as a pointer."""
        weight = self.program.weights[name]
        number = self.sections.add(
            (weight.sha256, part),
            4 * prod(weight.type.forms[part][1]),
            lambda: self.store.get(weight)[part].astype("<f4"),
        )
        return f"SD_FLOATS({number})"

    def matrix(self, name: str, bias: str | None = None) -> str:
        """A float matrix in blocks, as a struct sd_matrix: for nn.linear, and tables of embeddings."""
        weight = self.program.weights[name]
        of = weight.type
        out, width = of.shape
        hot = any(op.name == "nn.linear" for op in self.program.weight_users()[name])
        each = -(-out // 16) * 16 * width
        scales = minima = -1
        group, base = width, 0

        def blocks(part: str, dtype: str) -> int:
            size = -(-out // 16) * 16 * of.forms[part][1][1] * np.dtype(dtype).itemsize
            return self.sections.add(
                (weight.sha256, "blocks", part), size, lambda: matrix(self.store.get(weight)[part]).astype(dtype)
            )

        if isinstance(of, FloatWeight):
            form, dtype = ("SD_F16", "<f2") if self.options.floats == "f16" else ("SD_F32", "<f4")
            part = "values"
        elif isinstance(of, GridWeight):
            form, dtype, part, group, base = "SD_I8", "|i1", "codes", of.group, of.range[0]
            if of.bits <= 4 and group % 8 == 0 and width % 8 == 0 and group <= _SUMMED:
                form = "SD_I4"
            scales = blocks("scales", "<f2")
            minima = blocks("minima", "<f2") if of.minimum else -1
        elif isinstance(of, RowWeight):
            form, dtype, part = "SD_I32", "<i4", "codes"
            scales = blocks("scales", "<f4")
        else:
            raise IRError(f"@{name}: {of} is no matrix for nn.linear")

        def values() -> Array:
            parts = self.store.get(weight)
            if isinstance(of, GridWeight) and form == "SD_I4":
                return nibble_lines(of, parts[part])
            wide = matrix(integers(of, parts) if isinstance(of, RowWeight) else parts[part])
            if form == "SD_F16" and float(np.abs(wide).max(initial=0)) > 65504:
                raise IRError(f"@{name} has numbers too large for float16: emit it with floats=f32")
            return wide.astype(dtype)

        size = each // 2 if form == "SD_I4" else each * np.dtype(dtype).itemsize
        number = self.sections.add((weight.sha256, "matrix"), size, values, hot=hot)
        sections = f"{number}, {scales}, {minima}, {self.padded_bias([(bias, out)])}"
        body = f"{{{form}, {sections}, {width}, {out}, {group}, {base}}}"
        if form == "SD_I4":  # the inputs' two bytes, and a sum and a scale of each run, which has 8 inputs or more
            self.need(self.most_tokens * 3 * width + 64)
        return "&" + self.table("struct sd_matrix", "matrix", body, array=False)

    def padded_bias(self, parts: Sequence[tuple[str | None, int]], gated: bool = False) -> int:
        """The section of the biases of matrices of so many outputs, in blocks; -1 if there are none."""
        if all(name is None for name, _ in parts):
            return -1
        weights = [(self.program.weights[name] if name else None, out) for name, out in parts]
        size = 4 * sum(-(-out // 16) * 16 for _, out in weights)
        key = ("bias", gated, *((w.sha256 if w else None, out) for w, out in weights))

        def make() -> Array:
            values = [self.store.floats(w) if w else np.zeros(out, np.float32) for w, out in weights]
            return interleaved(values, gated).astype("<f4")

        return self.sections.add(key, size, make)
