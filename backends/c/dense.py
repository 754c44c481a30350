"""Ops of the dense model as kernel calls, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...ir import FloatWeight, IRError, Op
from .emitter import Emitter, dims, number
from .masking import attention
from .views import HALF, NEW, Size, View, call, flag, four

Printer = Callable[[Emitter, Op], None]


def views(e: Emitter, op: Op) -> list[View]:
    """Where the operands are."""
    return [e.view(o) for o in op.operands]


def spread(view: View, to: View) -> str:
    """A view stretched to another's axes: pointer and strides."""
    strides: list[Size] = [0 if d == 1 else s for d, s in zip(view.dims, view.strides, strict=True)]
    return f"{view.pointer}, {four(strides)}"


def _is_output(view: View) -> bool:
    return view.slot.name.startswith("out")


def _as_output(y: View) -> dict[str, Any]:
    """Work in the caller's memory counts as the head's, and is left out if nobody wants it."""
    return {"kind": "SD_HEAD", "guard": y.base} if _is_output(y) else {}


def _target(e: Emitter, op: Op) -> View:
    """Where a result goes: the caller's memory if it is an output that is made in place, or new memory."""
    direct = e.direct.get(op.result.name)
    if direct is None:
        return e.new(op.result)
    e.views[op.result.name] = direct
    return direct


def _each(e: Emitter, op: Op, kind: str, by: float = 0.0, weight: str = "NULL") -> None:
    """A function of each element."""
    x, y = e.view(op.operands[0]), _target(e, op)
    shape = y.shape
    if _is_output(y):  # only the rows that are wanted
        shape = four(["t->S - t->from" if d == NEW else d for d in y.dims], 1)
    line = call("K->map1", kind, number(by), weight, shape, y.place, x.place)
    e.step([op], [line], **_as_output(y))


def scale(e: Emitter, op: Op) -> None:
    _each(e, op, "SD_SCALE", op.attrs["by"])


def bias(e: Emitter, op: Op) -> None:
    _each(e, op, "SD_BIAS", weight=e.floats(op.weights[0]))


def activation(e: Emitter, op: Op) -> None:
    _each(e, op, f"SD_{op.attrs['kind'].upper()}")


def softcap(e: Emitter, op: Op) -> None:
    _each(e, op, "SD_SOFTCAP", op.attrs["cap"])


def pairwise(kind: str) -> Printer:
    """A function of two values, with broadcasting."""

    def emit(e: Emitter, op: Op) -> None:
        a, b = views(e, op)
        y = e.new(op.result)
        if len(y.dims) > 4:
            raise IRError("sums and products see at most four axes")
        line = call("K->map2", kind, y.shape, y.place, spread(a, y), spread(b, y))
        e.step([op], [line])

    return emit


def rms_norm(e: Emitter, op: Op) -> None:
    x = e.packed(op, e.view(op.operands[0]))
    y = e.new(op.result)
    gain = e.floats(op.weights[0]) if op.weights else "NULL"
    how = (gain, number(op.attrs["eps"]), number(op.attrs["gain_offset"]))
    e.step([op], [call("K->rms_norm", y.shape, y.place, x.place, *how)])


def layer_norm(e: Emitter, op: Op) -> None:
    x = e.packed(op, e.view(op.operands[0]))
    y = e.new(op.result)
    gain, shift = [*(e.floats(w) for w in op.weights), "NULL", "NULL"][:2]
    heads = bool(op.weights) and len(e.program.weights[op.weights[0]].type.shape) == 2
    own = four([0, y.dims[-1], 0, 1]) if heads else "NULL"
    line = call("K->layer_norm", y.shape, y.place, x.place, gain, shift, own, number(op.attrs["eps"]))
    e.step([op], [line])


def embed(e: Emitter, op: Op) -> None:
    ids = e.view(op.operands[0])
    of = e.program.weights[op.weights[0]].type
    if ids.dims != (NEW,) or ids.strides != (1,) or not isinstance(of, FloatWeight):
        raise IRError("nn.embed reads ids [B,S] in a float table")
    y = e.new(op.result)
    table = e.matrix(op.weights[0])
    how = (table, NEW, y.pointer, y.strides[0], ids.pointer, of.shape[0], op.attrs["offset"])
    e.step([op], [call("sd_embed", *how)])


def linear(e: Emitter, op: Op) -> None:
    x = e.packed(op, e.view(op.operands[0]))
    direct = e.direct.get(op.result.name)
    if direct is not None:
        y = direct
    elif len(x.dims) == 1:  # of one token, as a pooler takes; the threads share its row
        y = e.room("float", (NEW, dims(op.result.type)[0]))
        y = replace(y, dims=y.dims[1:], strides=y.strides[1:])
    elif len(x.dims) == 2 and x.dims[0] == NEW:
        y = e.new(op.result)
    else:
        raise IRError(f"nn.linear takes [B,S,in] or [B,in] in C, not {op.operands[0].type}")
    e.views[op.result.name] = y
    matrix = e.matrix(op.weights[0], op.weights[1] if len(op.weights) == 2 else None)
    rows = ("t->from" if direct else "0", x.dims[0] if len(x.dims) == 2 else 1)
    line = call("K->matrix", matrix, *rows, y.pointer, y.strides[0], x.pointer, x.strides[0])
    e.step([op], [line], **(_as_output(y) or {"kind": "SD_LINEAR"}), small=False)


def rope(e: Emitter, op: Op) -> None:
    x, positions = views(e, op)
    half = e.program.weights[op.weights[0]].type.shape[0]
    if positions.dims != (NEW,):
        raise IRError("nn.rope reads positions [B,S]")
    key = (op.operands[1].name, op.weights[0], op.attrs["scaling"])
    if key not in e.turns:  # once a token, for all layers
        turns = e.room("float", (NEW, 2 * half))
        how = (positions.pointer, e.floats(op.weights[0]), half, number(op.attrs["scaling"]))
        line = call("sd_turns", turns.pointer, turns.strides[0], *how)
        e.step([op], [line])
        e.turns[key] = turns
    turns, y = e.turns[key], e.new(op.result)
    turned = flag(op.attrs["layout"] == "interleaved")
    line = call("K->rope", y.shape, y.place, x.place, turns.pointer, turns.strides[0], turned)
    e.step([op], [line])


def rotate(e: Emitter, op: Op) -> None:
    x = e.view(op.operands[0])
    y = e.new(op.result)
    width = x.dims[-1]
    assert isinstance(width, int)
    e.need(8 * width)
    small = e.floats(op.weights[0]) if op.weights else "NULL"
    line = call("K->rotate", y.shape, y.place, x.place, op.attrs["hadamard"], small)
    e.step([op], [line])


def softmax(e: Emitter, op: Op) -> None:
    x, mask = views(e, op)
    y = e.new(op.result)
    heads = y.dims[0]
    assert isinstance(heads, int)
    e.need(64, 8)
    how = attention(e, op, heads, 1, (0, 0), 1.0)
    line = call("K->softmax", how, y.shape, y.place, x.place, mask.pointer)
    e.step([op], [line], kind="SD_ATTENTION", small=False)


def attend(e: Emitter, op: Op) -> None:
    q, k, v = (e.packed(op, e.view(o)) for o in op.operands[:3])
    mask = e.view(op.operands[3])
    heads, shared = q.dims[0], k.dims[0]
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    y = e.new(op.result)
    e.need(64, 8)
    how = attention(
        e, op, heads, heads // shared, (int(k.dims[-1]), int(v.dims[-1])), op.attrs["scale"], half=k.ctype == HALF
    )
    line = call("K->attend", how, y.place, q.place, k.place, v.place, mask.pointer)
    e.step([op], [line], kind="SD_ATTENTION", small=False)
