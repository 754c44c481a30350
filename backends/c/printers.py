"""Each op by itself as a kernel call: the table from ops to C. Ops that only look at memory otherwise make no call."""

from __future__ import annotations

from collections.abc import Callable

from ...ir import FloatWeight, Ints, IRError, Membrane, Op, Spikes, planes
from .emitter import Emitter, axis_of, ctype, dims, number, quoted
from .masking import attention
from .spiked import count_linear, count_matmul, encoder
from .views import NEW, Size, Slot, View, four

Printer = Callable[[Emitter, Op], None]


def _views(e: Emitter, op: Op) -> list[View]:
    return [e.view(o) for o in op.operands]


def _own(view: View) -> str:
    """Whether a new value is worked out by each thread for itself."""
    return view.all


def rows_wanted(y: View) -> tuple[str, str]:
    """Shape and strides of a value, of which only the rows that are wanted if it is an output."""
    if not y.slot.name.startswith("out"):
        return y.four()
    wanted: tuple[Size, ...] = tuple("t->S - t->m->from" if d == NEW else d for d in y.dims)
    return four([1] * (4 - len(wanted)) + list(wanted)), y.four()[1]


def _target(e: Emitter, op: Op) -> View:
    """Where a result goes: the caller's memory if it is an output that is made in place, or new memory."""
    direct = e.direct.get(op.result.name)
    if direct is None:
        return e.new(op.result)
    e.views[op.result.name] = direct
    return direct


def _map1(e: Emitter, op: Op, kind: str, by: float, w: str) -> None:
    x = e.view(op.operands[0])
    y = _target(e, op)
    shape, ys = rows_wanted(y)
    line = f"K->map1(t, {_own(y)}, {kind}, {number(by)}, {w}, {shape}, {y.pointer}, {ys}, {x.pointer}, {x.four()[1]});"
    e.step([op], [line], [x], [y], **_kind(y))


def _kind(y: View) -> dict[str, str]:
    """Work on an output counts as the head's, and is left out if nobody wants it."""
    return {"kind": "SD_HEAD", "guard": y.base} if y.slot.name.startswith("out") else {}


def _scale(e: Emitter, op: Op) -> None:
    _map1(e, op, "SD_SCALE", op.attrs["by"], "NULL")


def _bias(e: Emitter, op: Op) -> None:
    _map1(e, op, "SD_BIAS", 0.0, e.floats(op.weights[0]))


def _activation(e: Emitter, op: Op) -> None:
    _map1(e, op, f"SD_{op.attrs['kind'].upper()}", 0.0, "NULL")


def _softcap(e: Emitter, op: Op) -> None:
    _map1(e, op, "SD_SOFTCAP", op.attrs["cap"], "NULL")


def _spread(view: View, to: View) -> str:
    """Strides of a view stretched to another's axes."""
    pad = len(to.dims) - len(view.dims)
    strides: list[Size] = [0] * pad + [0 if d == 1 else s for d, s in zip(view.dims, view.strides, strict=True)]
    return four([0] * (4 - len(strides)) + strides)


def _map2(kind: str) -> Printer:
    def emit(e: Emitter, op: Op) -> None:
        a, b = _views(e, op)
        y = e.new(op.result)
        if len(y.dims) > 4:
            raise IRError("sums and products see at most four axes")
        shape, ys = y.four()
        line = f"K->map2(t, {_own(y)}, {kind}, {shape}, {y.pointer}, {ys}, {a.pointer}, {_spread(a, y)}, {b.pointer}, {_spread(b, y)});"
        e.step([op], [line], [a, b], [y])

    return emit


def _rms_norm(e: Emitter, op: Op) -> None:
    x = e.packed(op, e.view(op.operands[0]))
    y = e.new(op.result)
    shape, ys = y.four()
    gain = e.floats(op.weights[0]) if op.weights else "NULL"
    how = f"{gain}, {number(op.attrs['eps'])}, {number(op.attrs['gain_offset'])}"
    line = f"K->rms_norm(t, {_own(y)}, {shape}, {y.pointer}, {ys}, {x.pointer}, {x.four()[1]}, {how});"
    e.step([op], [line], [x], [y])


def _layer_norm(e: Emitter, op: Op) -> None:
    x = e.packed(op, e.view(op.operands[0]))
    y = e.new(op.result)
    shape, ys = y.four()
    gain, bias = [*(e.floats(w) for w in op.weights), "NULL", "NULL"][:2]
    heads = bool(op.weights) and len(e.program.weights[op.weights[0]].type.shape) == 2
    ws = f"SD_4(0, {y.dims[-1]}, 0, 1)" if heads else "NULL"
    line = f"K->layer_norm(t, {_own(y)}, {shape}, {y.pointer}, {ys}, {x.pointer}, {x.four()[1]}, {gain}, {bias}, {ws}, {number(op.attrs['eps'])});"
    e.step([op], [line], [x], [y])


def _embed(e: Emitter, op: Op) -> None:
    ids = e.view(op.operands[0])
    of = e.program.weights[op.weights[0]].type
    if ids.dims != (NEW,) or ids.strides != (1,) or not isinstance(of, FloatWeight):
        raise IRError("nn.embed reads ids [B,S] in a float table")
    y = e.new(op.result)
    rows = of.shape[0]
    how = f"{ids.pointer}, {rows}, {op.attrs['offset']}"
    line = f"sd_embed(t, {_own(y)}, {e.matrix(op.weights[0])}, t->S, {y.pointer}, {y.strides[0]}, {how});"
    e.step([op], [line], [ids], [y])


def _linear(e: Emitter, op: Op) -> None:
    x = e.packed(op, e.view(op.operands[0]))
    if len(x.dims) != 2:
        raise IRError(f"nn.linear takes [B,S,in] in C, not {op.operands[0].type}")
    direct = e.direct.get(op.result.name)
    y = direct or e.new(op.result, private=False)
    e.views[op.result.name] = y
    if y.slot.always:  # of one row, which each thread then has for itself
        raise IRError("nn.linear needs an axis of tokens in C")
    matrix = e.matrix(op.weights[0], op.weights[1] if len(op.weights) == 2 else None)
    first = "t->m->from" if direct else "0"
    line = f"K->matrix(t, {matrix}, {first}, {x.dims[0]}, {y.pointer}, {y.strides[0]}, {x.pointer}, {x.strides[0]});"
    e.step([op], [line], [x], [y], **(_kind(y) if direct else {"kind": "SD_LINEAR"}))


def _rope(e: Emitter, op: Op) -> None:
    x, positions = _views(e, op)
    half = e.program.weights[op.weights[0]].type.shape[0]
    if positions.dims != (NEW,):
        raise IRError("nn.rope reads positions [B,S]")
    key = (op.operands[1].name, op.weights[0], op.attrs["scaling"])
    if key not in e.turns:  # once a token, for all layers
        turns = e.room("float", (NEW, 2 * half))
        how = f"{positions.pointer}, {e.floats(op.weights[0])}, {half}, {number(op.attrs['scaling'])}"
        line = f"sd_turns(t, {turns.all}, {turns.pointer}, {turns.strides[0]}, {how});"
        e.step([op], [line], [positions], [turns])
        e.turns[key] = turns
    turns, y = e.turns[key], e.new(op.result)
    shape, ys = y.four()
    turned = str(op.attrs["layout"] == "interleaved").lower()
    line = f"K->rope(t, {_own(y)}, {shape}, {y.pointer}, {ys}, {x.pointer}, {x.four()[1]}, {turns.pointer}, {turns.strides[0]}, {turned});"
    e.step([op], [line], [x, turns], [y])


def _rotate(e: Emitter, op: Op) -> None:
    x = e.view(op.operands[0])
    y = e.new(op.result)
    shape, ys = y.four()
    width = x.dims[-1]
    assert isinstance(width, int)
    e.need(8 * width)
    small = e.floats(op.weights[0]) if op.weights else "NULL"
    line = f"K->rotate(t, {_own(y)}, {shape}, {y.pointer}, {ys}, {x.pointer}, {x.four()[1]}, {op.attrs['hadamard']}, {small});"
    e.step([op], [line], [x], [y])


def _reshape(e: Emitter, op: Op) -> None:
    x, want = e.view(op.operands[0]), dims(op.result.type)
    made = x.reshaped(want)
    if made is None:
        to = e.room(x.ctype, want)
        across = to.reshaped(x.dims)
        if across is None:
            raise IRError(f"{list(x.dims)} cannot be reshaped to {list(want)} in C")
        e.copy(op, x, across)
        made = to
    e.views[op.result.name] = made


def _permute(e: Emitter, op: Op) -> None:
    of, x = op.operands[0].type, e.view(op.operands[0])
    axes = tuple(a for a in (axis_of(of, i) for i in op.attrs["axes"]) if a is not None)
    e.views[op.result.name] = x.permuted(axes)


def _slice(e: Emitter, op: Op) -> None:
    x, axis = e.view(op.operands[0]), axis_of(op.operands[0].type, op.attrs["axis"])
    made = x if axis is None else x.sliced(axis, op.attrs["start"], op.attrs["stop"])
    if made is None:
        raise IRError("a slice along an axis beyond that of all tokens has no form in C yet")
    e.views[op.result.name] = made


def _concat(e: Emitter, op: Op) -> None:
    axis = axis_of(op.operands[0].type, op.attrs["axis"])
    assert axis is not None
    y, at = e.new(op.result), 0
    for x in _views(e, op):
        width = x.dims[axis]
        assert isinstance(width, int)
        part = y.sliced(axis, at, at + width)
        if part is None:
            raise IRError("joining along an axis beyond that of all tokens has no form in C yet")
        e.copy(op, x, part)
        at += width


def _repeat(e: Emitter, op: Op) -> None:
    x, axis = e.view(op.operands[0]), axis_of(op.operands[0].type, op.attrs["axis"])
    assert axis is not None
    y = e.new(op.result)
    shape, ys = y.four()
    at = axis + 4 - len(y.dims)
    line = f"sd_repeat(t, {_own(y)}, {y.size}, {shape}, {y.pointer}, {ys}, {x.pointer}, {x.four()[1]}, {at}, {op.attrs['times']});"
    e.step([op], [line], [x], [y])


def _softmax(e: Emitter, op: Op) -> None:
    x, mask = _views(e, op)
    y = e.new(op.result)
    heads = y.dims[0]
    assert isinstance(heads, int)
    e.need(64, 8)
    how = attention(e, op, heads, 1, (0, 0), 1.0)
    shape, ys = y.four()
    line = f"K->softmax(t, {how}, {shape}, {y.pointer}, {ys}, {x.pointer}, {x.four()[1]}, {mask.pointer});"
    e.step([op], [line], [x, mask], [y], kind="SD_ATTENTION")


def _attend(e: Emitter, op: Op) -> None:
    q, k, v = (e.packed(op, e.view(o)) for o in op.operands[:3])
    mask = e.view(op.operands[3])
    heads, shared = q.dims[0], k.dims[0]
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    widths = int(k.dims[-1]), int(v.dims[-1])
    y = e.new(op.result, private=False)
    e.need(64, 8)
    how = attention(e, op, heads, heads // shared, widths, op.attrs["scale"])
    values = ", ".join(f"{x.pointer}, {x.four()[1]}" for x in (y, q, k, v))
    e.step([op], [f"K->attend(t, {how}, {values}, {mask.pointer});"], [q, k, v, mask], [y], kind="SD_ATTENTION")


def _append(e: Emitter, op: Op) -> None:
    assert op.state is not None
    of = op.operands[0].type
    axis = axis_of(of, op.attrs["axis"])
    assert axis is not None
    x, index = e.view(op.operands[0]), e.states.index(op.state)
    whole = dims(op.result.type)
    strides: list[Size] = []
    each, grows = 1, False
    for i in range(len(whole) - 1, -1, -1):
        strides.append(f"{each} * t->C" if grows else each)
        if i == axis:
            grows = True
        else:
            size = whole[i]
            if not isinstance(size, int):
                raise IRError("a state with two axes of unknown size has no form in C yet")
            each *= size
    strides.reverse()
    kind = ctype(of)
    kept = View(e.kept(kind, index), kind, whole, tuple(strides), Slot(f"state {index}"))
    shape, xs = x.four()
    line = f"sd_copy(t, false, {x.size}, {shape}, {kept.pointer} + t->P * {strides[axis]}, {kept.four()[1]}, {x.pointer}, {xs});"
    e.step([op], [line], [x], [kept], kind="SD_ATTENTION")
    e.views[op.result.name] = kept


# ---- spikes, op by op ----


def _encode(e: Emitter, op: Op) -> None:
    x, of = e.view(op.operands[0]), op.results[0].type
    assert isinstance(of, Spikes)
    made = [e.new(r) for r in op.results]
    how = encoder(e, op, of, op.results[0].name in e.centred)
    widest = max(s.stop - s.start for s in of.segments)
    e.need(8 * widest + 64)
    z = f"{made[2].pointer}, {made[2].four()[1]}" if len(made) == 3 else "NULL, NULL"
    shape, ns = made[0].four()
    v = f"{made[1].pointer}, {made[1].four()[1]}"
    line = (
        f"K->encode(t, {_own(made[0])}, {how}, {shape}, {made[0].pointer}, {ns}, {v}, {z}, {x.pointer}, {x.four()[1]});"
    )
    lines = [line]
    if len(made[0].dims) == 2 and made[0].strides[1] == 1:
        name = op.results[0].name + (f" less {op.results[2].name}" if op.results[0].name in e.centred else "")
        rows, width = made[0].dims
        lines.append(
            f"sd_show(t, {quoted(name)}, {made[0].size}, {rows}, {width}, {made[0].strides[0]}, {made[0].pointer});"
        )
    e.step([op], lines, [x], made)


def _int_encode(e: Emitter, op: Op) -> None:
    x, of = e.view(op.operands[0]), op.results[0].type
    assert isinstance(of, Ints)
    n, v = (e.new(r) for r in op.results)
    width = n.dims[-1]
    if isinstance(width, int):
        e.need(8 * width + 128)
    else:
        e.need(256, 8)
    how = f"{of.top}.0f, {str(of.signed).lower()}"
    shape, ns = n.four()
    # Both results are worked out by whoever has the row, so they must be of one kind.
    line = f"K->int_encode(t, {_own(n)}, {how}, {shape}, {n.pointer}, {ns}, {v.pointer}, {v.four()[1]}, {x.pointer}, {x.four()[1]});"
    e.step([op], [line], [x], [n, v])


def _tokens(view: View, drop_last: int = 1) -> tuple[list[Size], list[Size]]:
    """Sizes and strides of the axes before the last one or two, as two axes. Raises IRError if there are more."""
    sizes, strides = list(view.dims[:-drop_last]), list(view.strides[:-drop_last])
    while len(sizes) > 2 and 1 in sizes:
        one = sizes.index(1)
        del sizes[one], strides[one]
    if len(sizes) > 2:
        raise IRError("spiked linear layers by themselves see at most two axes of tokens in C")
    pad: list[Size] = [0] * (2 - len(sizes))
    return [1] * (2 - len(sizes)) + sizes, pad + strides


def _rows(view: View) -> str:
    """Strides [a, b, 0, last] of a value with an axis of channels."""
    strides = _tokens(view)[1]
    return four([*strides, 0, view.strides[-1]])


def _planes_rows(view: View) -> str:
    """Strides [a, b, planes, out] of a membrane."""
    return four([*_tokens(view, 2)[1], *view.strides[-2:]])


def _planes(e: Emitter, op: Op) -> str:
    """The struct sd_planes of a linear op by itself."""
    of = op.operands[0].type
    assert isinstance(of, Spikes | Membrane)
    made = planes(of.starts, e.program.weights[op.weights[0]].type)
    rows = ", ".join(f"{{{p.start}, {p.stop}, 0, 0, {p.start}, {i}, {p.segment}}}" for i, p in enumerate(made))
    inputs = e.table("struct sd_cell", "cells", f"{{{rows}}}")
    group = e.numbers("groups", [p.group for p in made], "int")
    body = f"{{{len(made)}, {inputs}, {group}}}"
    return "&" + e.table("struct sd_planes", "planes", body, array=False)


def _is_float(e: Emitter, op: Op) -> str:
    return str(isinstance(e.program.weights[op.weights[0]].type, FloatWeight)).lower()


def _ints(view: View, strides: str) -> str:
    return f"(struct sd_ints){{{view.pointer}, {view.size}, {strides}}}"


def _spike_linear(e: Emitter, op: Op) -> None:
    n = e.view(op.operands[0])
    m = e.new(op.result, private=False)
    width = n.dims[-1]
    shape = four([*_tokens(m, 2)[0], *m.dims[-2:]])
    counts = _ints(n, _rows(n))
    line = f"sd_linear_plain(t, {_planes(e, op)}, {shape}, {m.pointer}, {_planes_rows(m)}, {counts}, {e.integers(op.weights[0])}, {_is_float(e, op)}, {width});"
    e.step([op], [line, *count_linear(e, op, n)], [n], [m], kind="SD_LINEAR")


def _center(e: Emitter, op: Op) -> None:
    m, z = _views(e, op)
    y = e.new(op.result, private=False)
    width = e.program.weights[op.weights[0]].type.shape[1]
    shape = four([*_tokens(m, 2)[0], *m.dims[-2:]])
    line = f"sd_center(t, {_planes(e, op)}, {shape}, {y.pointer}, {_planes_rows(y)}, {m.pointer}, {_planes_rows(m)}, {z.pointer}, {_rows(z)}, {e.integers(op.weights[0])}, {_is_float(e, op)}, {width});"
    e.step([op], [line], [m, z], [y], kind="SD_LINEAR")


def _sum(e: Emitter, op: Op) -> None:
    views = _views(e, op)
    y = e.new(op.result)
    n = views[0]
    shape, ns = n.four()
    z = f"{views[1].pointer}, {views[1].four()[1]}" if len(views) == 2 else "NULL, NULL"
    line = f"sd_sum(t, {_own(y)}, {_planes(e, op)}, {shape}, {y.pointer}, {y.four()[1]}, {_ints(n, ns)}, {z});"
    e.step([op], [line], views, [y], kind="SD_LINEAR")


def _read_out(e: Emitter, op: Op) -> None:
    views = _views(e, op)
    m, v = views[:2]
    y = e.new(op.result, private=False)
    of = e.program.weights[op.weights[0]].type
    scales = e.part(op.weights[0], "scales") if "scales" in of.forms else "NULL"
    minima = e.part(op.weights[0], "minima") if "minima" in of.forms else "NULL"
    groups = of.forms["scales"][1][1] if "scales" in of.forms else 1
    bias = e.floats(op.weights[1]) if len(op.weights) == 2 else "NULL"
    sums = f"{views[2].pointer}, {_rows(views[2])}" if len(views) == 3 else "NULL, NULL"
    shape = four([*_tokens(y)[0], 1, y.dims[-1]])
    line = f"sd_read_out(t, {_planes(e, op)}, {shape}, {y.pointer}, {_rows(y)}, {m.pointer}, {_planes_rows(m)}, {v.pointer}, {_rows(v)}, {sums}, {scales}, {minima}, {groups}, {bias}, {_is_float(e, op)});"
    e.step([op], [line], views, [y], kind="SD_LINEAR")


def _without_plane(view: View) -> str:
    """Strides of a product's membrane, whose one plane is no axis here."""
    strides = [*view.strides[:-2], view.strides[-1]]
    return four([0] * (4 - len(strides)) + strides)


def _matmul(e: Emitter, op: Op) -> None:
    a, n = _views(e, op)
    m = e.new(op.result, private=False)
    transpose = op.attrs["transpose"]
    heads, shared = a.dims[0], n.dims[0]
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    shape = four([1, heads, a.dims[1], m.dims[-1]])
    values = f"{_ints(a, a.four()[1])}, {_ints(n, n.four()[1])}"
    line = f"sd_matmul(t, {shape}, {a.dims[-1]}, {heads // shared}, {m.pointer}, {_without_plane(m)}, {values}, {str(transpose).lower()});"
    e.step([op], [line, *count_matmul(e, op, n, heads, a.dims[-1])], [a, n], [m], kind="SD_ATTENTION")


def _read_matmul(e: Emitter, op: Op) -> None:
    views = _views(e, op)
    m, rows = views[:2]
    y = e.new(op.result, private=False)
    shape, ys = y.four()
    columns = f"{views[2].pointer}, {_spread(views[2], y)}" if len(views) == 3 else "NULL, NULL"
    line = f"sd_read_matmul(t, {shape}, {y.pointer}, {ys}, {m.pointer}, {_without_plane(m)}, {rows.pointer}, {_spread(rows, y)}, {columns});"
    e.step([op], [line], views, [y], kind="SD_ATTENTION")


PRINTERS: dict[str, Printer] = {
    "nn.embed": _embed,
    "nn.linear": _linear,
    "nn.rms_norm": _rms_norm,
    "nn.layer_norm": _layer_norm,
    "nn.add": _map2("SD_ADD"),
    "nn.mul": _map2("SD_MUL"),
    "nn.scale": _scale,
    "nn.bias": _bias,
    "nn.activation": _activation,
    "nn.softcap": _softcap,
    "nn.rope": _rope,
    "nn.rotate": _rotate,
    "nn.reshape": _reshape,
    "nn.permute": _permute,
    "nn.slice": _slice,
    "nn.concat": _concat,
    "nn.repeat": _repeat,
    "nn.softmax": _softmax,
    "nn.attend": _attend,
    "state.append": _append,
    "spike.encode": _encode,
    "int.encode": _int_encode,
    "spike.linear": _spike_linear,
    "spike.center": _center,
    "spike.sum": _sum,
    "spike.read_out": _read_out,
    "spike.matmul": _matmul,
    "spike.read_matmul": _read_matmul,
}
