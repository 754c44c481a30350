"""Stateful neurons as calls (runtime/lif.h). A train is one number a channel, whose bits are its steps, so that it
lies, moves and is kept as any value does; a current has its steps before its last axis."""

from __future__ import annotations

from dataclasses import replace

from ...ir import Bits, Current, FixedWeight, IRError, Op, Segment, Train, Type
from .counts import counting, product
from .dense import views
from .emitter import Emitter, dims, number
from .views import Size, View, call, flag


def spiking(of: Train) -> tuple[Segment, ...]:
    """How a channel's trains are counted: the number that a train is, in bits."""
    return (Segment(0, 1, Bits(of.steps)),)


def _steps(of: Type) -> int:
    assert isinstance(of, Train | Current)
    return of.steps


def _over_time(view: View) -> tuple[View, Size]:
    """A current at its first step, and how far apart its steps are."""
    axis = len(view.dims) - 2
    dims_, strides = list(view.dims), list(view.strides)
    del dims_[axis]
    apart = strides.pop(axis)
    return replace(view, dims=tuple(dims_), strides=tuple(strides)), apart


def current(e: Emitter, op: Op) -> None:
    x = e.view(op.operands[0])
    y, apart = _over_time(e.new(op.result))
    how = (op.attrs["T"], number(2.0 ** op.attrs["frac"]))
    e.step([op], [call("sd_lif_current", *how, x.shape, y.place, apart, x.place)])


def fire(e: Emitter, op: Op) -> None:
    c, apart = _over_time(e.view(op.operands[0]))
    y = e.new(op.result)
    how = (_steps(op.result.type), op.attrs["beta"], op.attrs["threshold"])
    e.step([op], [call("sd_lif_fire", *how, y.shape, y.place, c.place, apart)])


def linear(e: Emitter, op: Op) -> None:
    x = e.packed(op, e.view(op.operands[0]))
    y, apart = _over_time(e.new(op.result))
    of = e.program.weights[op.weights[0]].type
    assert isinstance(of, FixedWeight)
    out, width = of.shape
    bias = e.fixed(op.weights[1]) if len(op.weights) == 2 else "NULL"
    how = (_steps(op.result.type), width, e.fixed(op.weights[0]), bias)
    line = call("sd_lif_linear", *how, y.shape, y.place, apart, x.place)
    e.step([op], [line, *_count(e, op, x, out)], kind="SD_LINEAR", small=False)


def coincide(e: Emitter, op: Op) -> None:
    q, k = (e.packed(op, e.view(o)) for o in op.operands[:2])
    mask = e.view(op.operands[2])
    y, apart = _over_time(e.new(op.result))
    spans = [e.numbers(name, op.attrs[name]) if op.attrs[name] else "NULL" for name in ("near", "far")]
    how = (_steps(op.result.type), q.dims[-1], _shared(q, k), flag(op.attrs["causal"]), *spans)
    where = (y.shape, y.place, apart, q.place, k.place, mask.pointer)
    line = call("sd_lif_coincide", *how, *where)
    e.step([op], [line, *_count(e, op, q, k.dims[1])], kind="SD_ATTENTION", small=False)


def gather(e: Emitter, op: Op) -> None:
    a, v = (e.packed(op, e.view(o)) for o in op.operands)
    y, apart = _over_time(e.new(op.result))
    how = (_steps(op.result.type), a.dims[-1], _shared(a, v))
    line = call("sd_lif_gather", *how, y.shape, y.place, apart, a.place, v.place)
    e.step([op], [line, *_count(e, op, a, v.dims[-1])], kind="SD_ATTENTION", small=False)


def _shared(a: View, b: View) -> int:
    heads, own = a.dims[0], b.dims[0]
    assert isinstance(heads, int)
    assert isinstance(own, int)
    return heads // own


def both(e: Emitter, op: Op) -> None:
    a, b = views(e, op)
    y = e.new(op.result)
    e.step([op], [call("sd_lif_both", y.shape, y.place, a.place, b.place)])


def reshape(e: Emitter, op: Op) -> None:
    """A train looks like any value; a current has its steps in the way."""
    of = op.operands[0].type
    if isinstance(of, Current):
        raise IRError(f"{of} cannot be reshaped in C; reshape the train that its neurons make")
    x, axes = e.view(op.operands[0]), op.attrs["axes"]
    want = Train(_steps(of), tuple(op.attrs["shape"]))
    made = x.reshaped(dims(want))
    if made is None:
        made = e.room(x.ctype, dims(want))
        across = made.reshaped(x.dims)
        if across is None:
            raise IRError(f"{list(x.dims)} cannot be reshaped to {list(dims(want))} in C")
        e.copy(op, x, across)
    if axes:
        kept = [a for a in axes if want.shape[a] != "B"]
        made = made.permuted(tuple(a - sum(d == "B" for d in want.shape[:a]) for a in kept))
    e.views[op.result.name] = made


def mean(e: Emitter, op: Op) -> None:
    of, x = op.operands[0].type, e.view(op.operands[0])
    y = e.new(op.result)
    if isinstance(of, Current):
        c, apart = _over_time(x)
        line = call("sd_lif_mean", of.steps, number(2.0**of.frac), y.shape, y.place, c.place, apart)
    else:
        line = call("sd_lif_rate", _steps(of), y.shape, y.place, x.place)
    e.step([op], [line])


def _count(e: Emitter, op: Op, x: View, fan_out: Size) -> list[str]:
    """Lines that count the spikes of a product: of each run of trains [..., channels], each a row by itself."""
    which, *outer = product(e, op), *x.dims[:-1]
    width, starts = x.dims[-1], e.numbers("segments", [0, 1])
    names = [f"i{n}" for n in range(len(outer))]
    at = " + ".join([x.pointer, *(f"{n} * {s}" for n, s in zip(names, x.strides, strict=False))])
    loops = [f"for (sd_int {n} = 0; {n} < {size}; {n}++)" for n, size in zip(names, outer, strict=True)]
    count = f"sd_count(t, {which}, {at}, 1, {width}, 1, {starts}, NULL, 0, {fan_out});"
    total = " * ".join(map(str, [*x.dims, fan_out]))
    return counting(" ".join([*loops, count]), f"sd_cost(t, {which}, 0, {total});")
