"""Ops that look at memory otherwise, which needs no call, or move it."""

from __future__ import annotations

from dataclasses import replace

from ...ir import IRError, Op
from ...ir.ops.dense import front_order
from .emitter import Emitter, axis_of, dims
from .views import HALF, Size, Slot, View, call


def reshape(e: Emitter, op: Op) -> None:
    x, want = e.view(op.operands[0]), dims(op.result.type)
    made = x.reshaped(want)
    if made is None:
        made = e.room(x.ctype, want)
        across = made.reshaped(x.dims)
        if across is None:
            raise IRError(f"{list(x.dims)} cannot be reshaped to {list(want)} in C")
        e.copy(op, x, across)
    e.views[op.result.name] = made


def permute(e: Emitter, op: Op) -> None:
    of, x = op.operands[0].type, e.view(op.operands[0])
    axes = tuple(a for a in (axis_of(of, i) for i in op.attrs["axes"]) if a is not None)
    e.views[op.result.name] = x.permuted(axes)


def slice_(e: Emitter, op: Op) -> None:
    x, axis = e.view(op.operands[0]), axis_of(op.operands[0].type, op.attrs["axis"])
    made = x if axis is None else x.sliced(axis, op.attrs["start"], op.attrs["stop"])
    if made is None:
        raise IRError("a slice along an axis beyond that of all tokens has no form in C yet")
    e.views[op.result.name] = made


def concat(e: Emitter, op: Op) -> None:
    axis = axis_of(op.operands[0].type, op.attrs["axis"])
    assert axis is not None
    y, at = e.new(op.result), 0
    for operand in op.operands:
        x = e.view(operand)
        width = x.dims[axis]
        assert isinstance(width, int)
        part = y.sliced(axis, at, at + width)
        if part is None:
            raise IRError("joining along an axis beyond that of all tokens has no form in C yet")
        e.copy(op, x, part)
        at += width


def repeat(e: Emitter, op: Op) -> None:
    x, axis = e.view(op.operands[0]), axis_of(op.operands[0].type, op.attrs["axis"])
    assert axis is not None
    y = e.new(op.result)
    at = axis + 4 - len(y.dims)
    line = call("sd_repeat", y.size, y.shape, y.place, x.place, at, op.attrs["times"])
    e.step([op], [line])


def set_apart(e: Emitter, op: Op) -> None:
    x = e.view(op.operands[0])
    y = e.new(op.result)
    width = x.dims[-1]
    assert isinstance(width, int)
    order = e.numbers("order", front_order(op.attrs["channels"], width, op.attrs["back"]), "int")
    line = call("sd_pick", y.size, y.shape, y.place, x.place, order)
    e.step([op], [line])


def append(e: Emitter, op: Op) -> None:
    """Into the state's array [outer][context][inner]; the result is all of it."""
    assert op.state is not None
    of = op.operands[0].type
    axis = axis_of(of, op.attrs["axis"])
    assert axis is not None
    x, index = e.view(op.operands[0]), e.states.index(op.state)
    whole = dims(op.result.type)
    strides: list[Size] = []
    each = 1
    for i in range(len(whole) - 1, -1, -1):
        strides.insert(0, f"{each} * t->C" if i < axis else each)
        size = whole[i]
        if i != axis:
            if not isinstance(size, int):
                raise IRError("a state with two axes of unknown size has no form in C yet")
            each *= size
    kind = e.kept_type(op)
    kept = View(e.kept(kind, index), kind, whole, tuple(strides), Slot(f"state {index}"))
    new = replace(kept, base=f"{kept.base} + t->P * {strides[axis]}", dims=x.dims)
    if kind == HALF:
        line = call("sd_narrow", x.shape, new.place, x.place)
    else:
        line = call("sd_copy", x.size, x.shape, new.place, x.place)
    e.step([op], [line], kind="SD_ATTENTION")
    e.views[op.result.name] = kept
