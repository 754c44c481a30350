"""Spiked products and their read-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...ir import FloatWeight, GridWeight, Ints, Membrane, Plane, RowWeight, Spikes, planes
from ...ir.store import integers
from . import train, values
from .attention import grouped, ungrouped
from .body import FLOAT, INT8, INT32, Array, Body, Value
from .emitter import Call
from .integers import digits, digits_needed, product, weight_digits, weighted


@dataclass(frozen=True, slots=True)
class Matrix:
    """A weight laid out for products by plane: [in, out], or [planes, width, out] with narrow ones filled up.

    Integers have their digits side by side along the last axis; floats have none. `channels` are the inputs of each
    plane [planes, width], None where they follow each other without a gap.
    """

    value: Value
    digits: int
    cells: tuple[Plane, ...]
    channels: Array | None


def spiked(c: Call, index: int = 0) -> Spikes:
    """The type of a spiked operand."""
    of = c.operand(index)
    assert isinstance(of, Spikes)
    return of


def cells_of(c: Call) -> tuple[Plane, ...]:
    """The membrane planes of operand 0 over weight 0."""
    of = c.operand(0)
    assert isinstance(of, Spikes | Membrane)
    return planes(of.starts, c.of())


def cuts(c: Call) -> str:
    """Where segments of operand 0 begin, for names: a weight that meets other segments elsewhere is laid out anew."""
    of = c.operand(0)
    assert isinstance(of, Spikes | Membrane)
    return "".join(f".{start}" for start in of.starts[1:])


def whole_numbers(c: Call) -> Array:
    """What spikes add: int32 [out, in]."""
    of = c.of()
    assert isinstance(of, GridWeight | RowWeight)
    return integers(of, c.emitter.store.get(c.weight()))


def digits_of(c: Call) -> int:
    """How many digits the integers of weight 0 take: of a grid those of its bits, of a row those of what is there."""
    of = c.of()
    if isinstance(of, GridWeight):
        return digits_needed(*of.range)
    w = whole_numbers(c)
    return digits_needed(int(w.min()), int(w.max()))


def by_plane(w: Array, cells: Sequence[Plane]) -> Array:
    """A matrix [out, in] as [in, out], or by plane."""
    if len(cells) == 1:
        return np.ascontiguousarray(w.T)
    made = np.zeros((len(cells), max(p.stop - p.start for p in cells), w.shape[0]), dtype=w.dtype)
    for i, p in enumerate(cells):
        made[i, : p.stop - p.start] = w[:, p.start : p.stop].T
    return made


def channels_of(cells: Sequence[Plane]) -> Array | None:
    """The inputs of each plane; what fills a narrow one up meets weights of 0."""
    width = max(p.stop - p.start for p in cells)
    if all(p.stop - p.start == width for p in cells):
        return None
    return np.array([[min(i, p.stop - 1) for i in range(p.start, p.start + width)] for p in cells])


def matrix(c: Call, cells: tuple[Plane, ...], part: str = "") -> Matrix:
    """Weight 0 for those planes."""
    out, width = c.of().shape[0], max(p.stop - p.start for p in cells)
    lead = (width,) if len(cells) == 1 else (len(cells), width)
    store, w = c.emitter.store, c.weight()
    start, stop = cells[0].start, cells[-1].stop
    moved = [Plane(p.start - start, p.stop - start, p.segment, p.group) for p in cells]
    if isinstance(c.of(), FloatWeight):
        shape = (*lead, out)
        columns = c.form(0, f"columns{part}", FLOAT, shape, lambda: by_plane(store.floats(w)[:, start:stop], moved))
        return Matrix(columns, 0, tuple(moved), channels_of(moved))
    count = digits_of(c)

    def make() -> Array:
        return weight_digits(by_plane(whole_numbers(c)[:, start:stop], moved), count)

    return Matrix(c.form(0, f"digits{part}", INT8, (*lead, count * out), make), count, tuple(moved), channels_of(moved))


def sums(b: Body, n: Value, low: int, high: int, w: Matrix) -> Value:
    """Membranes [..., planes, out] of integers low … high [..., in]."""
    many = len(w.cells) > 1

    def laid(x: Value) -> Value:
        """[..., in] as it is, or [planes, tokens, width]."""
        if not many:
            return x
        if w.channels is not None:
            x = b("Gather", x, b.i64(w.channels.reshape(-1)), axis=-1)
        width = w.cells[0].stop - w.cells[0].start if w.channels is None else w.channels.shape[1]
        return b("Transpose", b("Reshape", x, b.i64([-1, len(w.cells), width])), perm=[1, 0, 2])

    if w.digits:
        m = weighted(b, [(laid(x), zero) for x, zero in digits(b, n, low, high)], w.value, w.digits)
    else:
        m = b("MatMul", laid(b.cast(n, FLOAT)), w.value)
    if not many:
        return b("Unsqueeze", m, b.i64([-2]))
    return b.with_tail(b("Transpose", m, perm=[1, 0, 2]), n, 1, (len(w.cells), -1))


def linear(c: Call) -> Sequence[Value]:
    """Weight columns added up by counts, or, unrolled, by the spikes of each step."""
    of, cells, n = spiked(c), cells_of(c), c.x(0, "counts")
    if not c.emitter.options.unrolled:
        return [sums(c.b, n, *values.span(of), matrix(c, cells, cuts(c)))]
    made = []
    for k, s in enumerate(of.segments):
        w = matrix(c, tuple(p for p in cells if p.segment == k), f".{k}{cuts(c)}" * (len(of.segments) > 1))
        steps = sums(c.b, c.bring(train.of(c, 0, k), "spikes"), *train.span(s.code), w)
        made.append(train.integrate(c.b, steps, s.code))
    return [c.b.join(made, -2)]


def plane_sums(c: Call, cells: Sequence[Plane]) -> Value:
    """ΣW of each plane, [planes, out], in the membrane's dtype."""
    of, store, w = c.of(), c.emitter.store, c.weight()
    kind = FLOAT if isinstance(of, FloatWeight) else INT32

    def make() -> Array:
        values_ = store.floats(w) if kind == FLOAT else whole_numbers(c)
        return np.stack([values_[:, p.start : p.stop].sum(1) for p in cells]).astype(kind.numpy())

    return c.form(0, f"sums.{len(cells)}{cuts(c)}", kind, (len(cells), of.shape[0]), make)


def of_segments(b: Body, x: Value, cells: Sequence[Plane], tokens: int = 1) -> Value:
    """Numbers of segments [..., K] as numbers of planes [..., planes], then `tokens` axes of 1."""
    if any(p.segment for p in cells):
        x = b("Gather", x, b.i64([p.segment for p in cells]), axis=-1)
    return b("Unsqueeze", x, b.i64([-1])) if tokens else x


def center(c: Call) -> Sequence[Value]:
    """Membranes less z·ΣW."""
    b, cells, membrane = c.b, cells_of(c), c.operand(0)
    assert isinstance(membrane, Membrane)
    z = of_segments(b, c.x(1, "zero"), cells)
    z = z if membrane.dtype == "i32" else b.cast(z, FLOAT)
    return [b("Sub", c.x(0, "membrane"), b("Mul", z, plane_sums(c, cells)))]


def total(c: Call) -> Sequence[Value]:
    """Sums of counts by plane, as a product with ones."""
    b, cells, of = c.b, cells_of(c), spiked(c)
    inside = np.zeros((int(of.shape[-1]), len(cells)), dtype=np.int8)
    for i, p in enumerate(cells):
        inside[p.start : p.stop, i] = 1
    y = weighted(b, digits(b, c.x(0, "counts"), *values.span(of)), b.array(inside), 1)
    if len(c.op.operands) == 2:
        z = of_segments(b, c.x(1, "zero"), cells, tokens=0)
        y = b("Sub", y, b("Mul", z, b.i32([p.stop - p.start for p in cells])))
    return [y]


def read_out(c: Call) -> Sequence[Value]:
    """The one multiply of each output and plane."""
    b, cells, of = c.b, cells_of(c), c.of()
    store, w, groups = c.emitter.store, c.weight(), [p.group for p in cells]
    y = b.cast(c.x(0, "membrane"), FLOAT)

    def per_plane(part: str) -> Value:
        name, shape = f"{part}.{len(cells)}{cuts(c)}", (len(cells), of.shape[0])
        return c.form(0, name, FLOAT, shape, lambda: store.get(w)[part].astype(np.float32).T[groups].copy())

    if not isinstance(of, FloatWeight):
        y = b("Mul", y, per_plane("scales"))
        if "minima" in of.forms:
            counted = b("Unsqueeze", b.cast(c.x(2, "sums"), FLOAT), b.i64([-1]))
            y = b("Add", y, b("Mul", per_plane("minima"), counted))
    y = b("Mul", y, of_segments(b, c.x(1, "scale"), cells))
    y = b("ReduceSum", y, b.i64([-2]), keepdims=0) if len(cells) > 1 else b("Squeeze", y, b.i64([-2]))
    return [b("Add", y, c.floats(1, "bias")) if len(c.op.weights) == 2 else y]


def matmul(c: Call) -> Sequence[Value]:
    """Integers times spikes, heads that share keys as one batch."""
    b, of, ints = c.b, spiked(c, 1), c.operand(0)
    assert isinstance(ints, Ints)
    heads, shared = int(ints.shape[1]), int(of.shape[1])
    left = [(grouped(b, x, heads, shared), zero) for x, zero in digits(b, c.x(0, "integers"), *values.span(ints))]
    if c.emitter.options.unrolled:
        spikes, (low, high), lead = c.bring(train.of(c, 1, 0), "spikes"), train.span(of.code), 1
    else:
        spikes, (low, high), lead = c.x(1, "counts"), values.span(of), 0
    if c.attr("transpose"):
        order = [*range(lead), *(lead + a for a in (0, 1, 3, 2))]
        spikes = b("Transpose", spikes, perm=order)
    m = product(b, left, digits(b, spikes, low, high))
    if lead:
        m = train.integrate(b, m, of.code)
    return [b("Unsqueeze", ungrouped(b, m, heads, shared), b.i64([-2]))]


def read_matmul(c: Call) -> Sequence[Value]:
    """Membranes times the scales of rows and columns."""
    y = c.b.cast(c.b("Squeeze", c.x(0, "membrane"), c.b.i64([-2])), FLOAT)
    for i in range(1, len(c.op.operands)):
        y = c.b("Mul", y, c.x(i, ("rows", "columns")[i - 1]))
    return [y]
