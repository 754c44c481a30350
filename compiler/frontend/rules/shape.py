"""Reshapes, permutations, slices and joins."""

from __future__ import annotations

from torch.fx import Node

from ....ir import Value as IRValue
from ..emit import Emit
from ..errors import UnsupportedOp
from ..pattern import Any_, Apply, Items, Match, Num, Value, describe, rank
from ..rule import rule
from .calls import call, either

X = Value("x")
MAX_PARTS = 16  # what nn.concat takes


@rule(either(call("view", X, Any_()), call("_unsafe_view", X, Any_()), call("reshape", X, Any_()),
             call("flatten.using_ints", X, Any_(), Any_()), call("unsqueeze", X, Any_()),
             call("squeeze.dim", X, Any_())))  # fmt: skip
def reshape(m: Match, out: Emit) -> IRValue:
    """Any change of shape that keeps the order; batch and length merged into one axis stay two in the IR."""
    return out.reshape(m["x"], out.shape(m.nodes[0]))


def _plain_rank(m: Match, out: Emit) -> None:
    """Permuting needs the IR value to have the axes that FX sees."""
    if len(out.dims(m["x"])) != rank(m["x"]):
        raise UnsupportedOp(f"batch and length are merged and then moved, in {describe(m.nodes[0])}")


@rule(call("transpose.int", X, Num("a"), Num("b")))
def transpose(m: Match, out: Emit) -> IRValue:
    """Two axes exchanged."""
    _plain_rank(m, out)
    axes = list(range(rank(m["x"])))
    axes[m["a"]], axes[m["b"]] = axes[m["b"]], axes[m["a"]]
    return out.op("nn.permute", m["x"], axes=tuple(axes))


@rule(call("permute", X, Items("axes")))
def permute(m: Match, out: Emit) -> IRValue:
    """Axes in another order."""
    _plain_rank(m, out)
    return out.op("nn.permute", m["x"], axes=tuple(a % rank(m["x"]) for a in m["axes"]))


@rule(call("slice.Tensor", X, Num("axis"), Num("start"), Num("stop")))
def slice_(m: Match, out: Emit) -> IRValue:
    """A run of elements."""
    axis = out.axis(m["x"], m["axis"])
    size = out.dims(m["x"])[axis]
    stop = min(m["stop"], size) if isinstance(size, int) else m["stop"]
    return out.op("nn.slice", m["x"], axis=axis, start=m["start"], stop=stop)


_at = Num("index")


_unbound = Apply(("<built-in function getitem>",), (call("unbind.int", X, Num("axis")), _at))


@rule(either(call("select.int", X, Num("axis"), _at), _unbound))
def select(m: Match, out: Emit) -> IRValue:
    """One element along an axis, which goes."""
    axis = out.axis(m["x"], m["axis"])
    shape = out.dims(m["x"])
    index = m["index"] % shape[axis] if isinstance(shape[axis], int) else m["index"]
    one = out.op("nn.slice", m["x"], axis=axis, start=index, stop=index + 1)
    return out.reshape(one, (*shape[:axis], *shape[axis + 1 :]))


_parts = either(
    call("split.Tensor", X, Num("size"), Num("axis")),
    call("split_with_sizes", X, Items("sizes"), Num("axis")),
    call("chunk", X, Num("count"), Num("axis")),
)


@rule(Apply(("<built-in function getitem>",), (_parts, _at)))
def part(m: Match, out: Emit) -> IRValue:
    """One part of a split, such as q, k or v of a fused projection."""
    split, axis = m.nodes[1], out.axis(m["x"], m["axis"])
    widths = [int(p.shape[m["axis"]]) for p in split.meta["val"]]
    start = sum(widths[: m["index"]])
    return out.op("nn.slice", m["x"], axis=axis, start=start, stop=start + widths[m["index"]])


@rule(call("cat", Items("parts"), Num("axis")))
def concat(m: Match, out: Emit) -> IRValue:
    """Parts joined along an axis, at most 16 at a time."""
    full = [p for p in m["parts"] if isinstance(p, Node) and 0 not in p.meta["val"].shape]
    axis = out.axis(full[0], m["axis"])
    values = [out.values[p] for p in full]
    while len(values) > 1:
        groups = [values[i : i + MAX_PARTS] for i in range(0, len(values), MAX_PARTS)]
        values = [out.op("nn.concat", *g, axis=axis) if len(g) > 1 else g[0] for g in groups]
    return values[0]


RULES = (reshape, transpose, permute, slice_, part, select, concat)
