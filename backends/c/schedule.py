"""A program's ops in order, each as kernel calls, fused where that is possible."""

from __future__ import annotations

from math import prod

from ...ir import IRError, Op, Program, Store, Value
from .attention import spiked_attention
from .emitter import Emitter, ctype, dims
from .fuse import Fused, LinearGroup, find
from .linears import linear_group
from .options import Options
from .printers import PRINTERS
from .views import NEW, Size, Slot, View, call, four

# What may follow a matrix whose result is an output, in place.
AFTER = ("nn.scale", "nn.softcap", "nn.bias", "nn.activation")


def natural(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    """Strides of an array without gaps, sizes being C text."""
    strides: list[Size] = []
    each: Size = 1
    for d in reversed(shape):
        strides.append(each)
        each = each * d if isinstance(each, int) and isinstance(d, int) else f"({each} * {d})"
    return tuple(strides[::-1])


def row_of(shape: tuple[Size, ...]) -> int:
    """Elements for each new token of an input or output; 0 where it is not laid out token by token."""
    rest = shape[1:]
    return (
        prod(d for d in rest if isinstance(d, int))
        if shape[:1] == (NEW,) and not any(isinstance(d, str) for d in rest)
        else 0
    )


def schedule(program: Program, store: Store, options: Options) -> Emitter:
    """The whole program. Raises IRError, naming op and module, for what has no form in C."""
    e = Emitter(program, store, options)
    for index, value in enumerate(program.inputs):
        kind, shape = ctype(value.type), dims(value.type)
        e.views[value.name] = View(e.given(kind, index), kind, shape, natural(shape), Slot(f"in {index}"))
    fused = find(program, options.kernels) if options.fuse else Fused()
    e.centred = fused.centred
    _direct(e)
    last = _last_uses(program, fused)
    for index, op in enumerate(program.ops):
        try:
            _emit(e, fused, index, op)
        except IRError as error:
            raise IRError(f"{op.name} at {op.loc.module or '<no module>'}: {error}") from error
        _free(e, last, index)
    _outputs(e)
    return e


def _emit(e: Emitter, fused: Fused, index: int, op: Op) -> None:
    found = fused.at.get(index)
    if isinstance(found, LinearGroup):
        linear_group(e, found)
    elif found is not None:
        spiked_attention(e, found)
    elif id(op) not in fused.inside:
        if op.name not in PRINTERS:
            raise IRError("has no kernel in C yet")
        PRINTERS[op.name](e, op)


def _last_uses(program: Program, fused: Fused) -> dict[str, int]:
    """The position of the last call that reads or makes each value; outputs live on."""
    calls = {id(op): index for index, found in fused.at.items() for op in found.ops}
    last: dict[str, int] = {}
    for i, op in enumerate(program.ops):
        for v in (*op.operands, *op.results):
            last[v.name] = max(i, calls.get(id(op), 0), last.get(v.name, 0))
    return last | {v.name: len(program.ops) for v in program.outputs.values()}


def _free(e: Emitter, last: dict[str, int], index: int) -> None:
    """Give back the memory of values that nothing reads after this op."""
    for slot in e.temporary:
        e.arena.give(slot)
    e.temporary.clear()
    live = {view.slot for name, view in e.views.items() if last.get(name, -1) > index}
    live |= {view.slot for view in e.turns.values()}
    for name in [n for n in e.views if last.get(n, -1) <= index]:
        view = e.views.pop(name)
        if view.slot not in live:
            e.arena.give(view.slot)


def _direct(e: Emitter) -> None:
    """Outputs that a matrix, and functions after it, make in the caller's memory."""
    users, makers = e.program.users(), e.program.producers()
    outputs = list(e.program.outputs.values())
    for index, output in enumerate(outputs):
        chain: list[Value] = []
        now = output
        while (maker := makers.get(now.name)) is not None and now.type == output.type:
            if len(users[now.name]) > (now is not output) or (now is not output and now in outputs):
                break
            chain.append(now)
            if maker.name == "nn.linear" and outputs.count(output) == 1 and row_of(dims(output.type)):
                shape = dims(output.type)
                view = View(e.wanted("float", index), "float", shape, natural(shape), Slot(f"out {index}"))
                e.direct |= {v.name: view for v in chain}
            if maker.name not in AFTER:
                break
            now = maker.operands[0]


def _outputs(e: Emitter) -> None:
    """Move what was not made in the caller's memory there."""
    for index, value in enumerate(e.program.outputs.values()):
        if value.name in e.direct:
            continue
        view, shape = e.views[value.name], dims(value.type)
        slot = Slot(f"out {index}")
        to = View(e.wanted(view.ctype, index), view.ctype, shape, natural(shape), slot)
        sizes, source = view.shape, view.place
        if row_of(shape):
            sizes = four([f"{NEW} - t->from", *[d for d in shape[1:] if d != 1 or len(shape) <= 4]], 1)
            source = source.replace(view.pointer, f"{view.pointer} + t->from * {view.strides[0]}", 1)
        line = call("sd_copy", view.size, sizes, to.place, source)
        e.step([], [line], guard=to.base)
