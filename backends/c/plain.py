"""Spike ops as calls, each by itself: the encoders, and what no fused kernel takes."""

from __future__ import annotations

from ...ir import FloatWeight, Ints, IRError, Membrane, Op, Spikes, planes
from .counts import adding, count_linear, count_matmul, encoder
from .dense import spread, views
from .emitter import Emitter, quoted
from .views import Size, View, call, flag, four


def encode(e: Emitter, op: Op) -> None:
    x, of = e.view(op.operands[0]), op.results[0].type
    assert isinstance(of, Spikes)
    made = [e.new(r) for r in op.results]
    n, centred = made[0], op.results[0].name in e.centred
    e.need(8 * max(s.stop - s.start for s in of.segments) + 64)
    z = made[2].place if len(made) == 3 else "NULL, NULL"
    lines = [call("K->encode", encoder(e, op, of, centred), n.shape, n.place, made[1].place, z, x.place)]
    if len(n.dims) == 2 and n.strides[1] == 1:
        name = op.results[0].name + (f" less {op.results[2].name}" if centred else "")
        lines.append(call("sd_show", quoted(name), n.size, *n.dims, n.strides[0], n.pointer))
    e.step([op], lines)


def int_encode(e: Emitter, op: Op) -> None:
    x, of = e.view(op.operands[0]), op.results[0].type
    assert isinstance(of, Ints)
    n, v = (e.new(r) for r in op.results)
    width = n.dims[-1]
    e.need(*((8 * width + 128, 0) if isinstance(width, int) else (256, 8)))
    how = (f"{of.top}.0f", flag(of.signed))
    e.step([op], [call("K->int_encode", *how, n.shape, n.place, v.place, x.place)])


def _tokens(view: View, drop: int = 1) -> tuple[list[Size], list[Size]]:
    """Sizes and strides of the axes before the last one or two, as two axes. Raises IRError if there are more."""
    sizes, strides = list(view.dims[:-drop]), list(view.strides[:-drop])
    while len(sizes) > 2 and 1 in sizes:
        one = sizes.index(1)
        del sizes[one], strides[one]
    if len(sizes) > 2:
        raise IRError("spiked linear layers by themselves see at most two axes of tokens in C")
    ones: list[Size] = [1] * (2 - len(sizes))
    none: list[Size] = [0] * (2 - len(sizes))
    return ones + sizes, none + strides


def _rows(view: View) -> str:
    """Strides [a, b, 0, last] of a value with an axis of channels."""
    return four([*_tokens(view)[1], 0, view.strides[-1]])


def _membrane(view: View) -> str:
    """A membrane: pointer and strides [a, b, planes, out]."""
    return f"{view.pointer}, {four([*_tokens(view, 2)[1], *view.strides[-2:]])}"


def _planes(e: Emitter, op: Op) -> str:
    """The struct sd_planes of an op."""
    of = op.operands[0].type
    assert isinstance(of, Spikes | Membrane)
    made = planes(of.starts, e.program.weights[op.weights[0]].type)
    rows = ", ".join(f"{{{p.start}, {p.stop}, 0, 0, {p.start}, {i}, {p.segment}}}" for i, p in enumerate(made))
    inputs = e.table("struct sd_cell", "cells", f"{{{rows}}}")
    group = e.numbers("groups", [p.group for p in made], "int")
    return "&" + e.table("struct sd_planes", "planes", f"{{{len(made)}, {inputs}, {group}}}", array=False)


def _is_float(e: Emitter, op: Op) -> str:
    return flag(isinstance(e.program.weights[op.weights[0]].type, FloatWeight))


def _ints(view: View, strides: str) -> str:
    return f"(struct sd_ints){{{view.pointer}, {view.size}, {strides}}}"


def linear(e: Emitter, op: Op) -> None:
    n = e.view(op.operands[0])
    m = e.new(op.result)
    shape = four([*_tokens(m, 2)[0], *m.dims[-2:]])
    what = (_ints(n, _rows(n)), e.integers(op.weights[0]), _is_float(e, op), n.dims[-1])
    line = call("sd_linear_plain", _planes(e, op), shape, _membrane(m), *what)
    e.step([op], [line, *count_linear(e, op, n)], kind="SD_LINEAR", small=False)


def center(e: Emitter, op: Op) -> None:
    m, z = views(e, op)
    y = e.new(op.result)
    width = e.program.weights[op.weights[0]].type.shape[1]
    shape = four([*_tokens(m, 2)[0], *m.dims[-2:]])
    what = (z.pointer, _rows(z), e.integers(op.weights[0]), _is_float(e, op), width)
    line = call("sd_center", _planes(e, op), shape, _membrane(y), _membrane(m), *what)
    e.step([op], [line], kind="SD_LINEAR", small=False)


def total(e: Emitter, op: Op) -> None:
    operands = views(e, op)
    n, y = operands[0], e.new(op.result)
    z = operands[1].place if len(operands) == 2 else "NULL, NULL"
    counts = _ints(n, n.lies)
    line = call("sd_sum", _planes(e, op), n.shape, y.place, counts, z)
    e.step([op], [line], kind="SD_LINEAR")


def read_out(e: Emitter, op: Op) -> None:
    operands = views(e, op)
    m, v = operands[:2]
    y = e.new(op.result)
    of = e.program.weights[op.weights[0]].type
    scales, minima = (e.part(op.weights[0], p) if p in of.forms else "NULL" for p in ("scales", "minima"))
    groups = of.forms["scales"][1][1] if "scales" in of.forms else 1
    bias = e.floats(op.weights[1]) if len(op.weights) == 2 else "NULL"
    sums = f"{operands[2].pointer}, {_rows(operands[2])}" if len(operands) == 3 else "NULL, NULL"
    shape = four([*_tokens(y)[0], 1, y.dims[-1]])
    where = (y.pointer, _rows(y), _membrane(m), v.pointer, _rows(v), sums)
    how = (scales, minima, groups, bias, _is_float(e, op))
    line = call("sd_read_out", _planes(e, op), shape, *where, *how)
    e.step([op], [line], kind="SD_LINEAR", small=False)


def _product(view: View) -> str:
    """The membrane of a product, whose one plane is no axis here: pointer and strides."""
    return f"{view.pointer}, {four([*view.strides[:-2], view.strides[-1]])}"


def matmul(e: Emitter, op: Op) -> None:
    a, n = views(e, op)
    m = e.new(op.result)
    heads, shared = a.dims[0], n.dims[0]
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    shape = four([heads, a.dims[1], m.dims[-1]], 1)
    what = (*(_ints(x, x.lies) for x in (a, n)), flag(op.attrs["transpose"]))
    of = op.operands[1].type
    assert isinstance(of, Spikes)
    line = call("sd_matmul", shape, a.dims[-1], heads // shared, _product(m), *what, adding(e, of))
    e.step([op], [line, *count_matmul(e, op, n, heads, a.dims[-1])], kind="SD_ATTENTION", small=False)


def read_matmul(e: Emitter, op: Op) -> None:
    operands = views(e, op)
    m, rows = operands[:2]
    y = e.new(op.result)
    columns = spread(operands[2], y) if len(operands) == 3 else "NULL, NULL"
    line = call("sd_read_matmul", y.shape, y.place, _product(m), spread(rows, y), columns)
    e.step([op], [line], kind="SD_ATTENTION", small=False)
