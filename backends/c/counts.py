"""Encoders as the kernels are told of them, and how spikes are counted."""

from __future__ import annotations

from ...ir import IRError, Op, Spikes
from ...ir.ops.spikes import grid_tops
from .emitter import Emitter, ctype, number
from .pack import flags, price_table
from .views import NEW, Size, View, call, size_of

GRIDS = {"symmetric": "SD_SYMMETRIC", "offset": "SD_OFFSET", "asymmetric": "SD_ASYMMETRIC"}
THRESHOLDS = {"absmax": "SD_ABSMAX", "mean": "SD_MEAN", "static": "SD_STATIC"}
CLIPS = {"none": "SD_WHOLE", "soft": "SD_SOFT", "hard": "SD_HARD"}


def encoder(e: Emitter, op: Op, of: Spikes, centred: bool) -> str:
    """The struct sd_encoder of a spike.encode."""
    a, grains = op.attrs, []
    for s, top in zip(of.segments, grid_tops(a, of.segments), strict=True):
        low, high = {"symmetric": (-top, top), "offset": (0, 2 * top + 1), "asymmetric": (0, top)}[a["grid"]]
        low, high = max(low, s.code.lo), min(high, s.code.hi)
        rank = int(a["quantile"] * (s.stop - s.start))
        table = "0, 0.0f, 0.0f, -1, -1, -1"
        if a["price"]:
            found = price_table(*s.code.priced(top, a["price"]))
            if found is None:
                raise IRError(f"{s.code} at price {a['price']}: its edges are too close together")
            per, shift, edges, base, beyond = found
            key = (s.code, top, a["price"])
            where = [e.sections.array((*key, i), part) for i, part in enumerate((edges, base, beyond))]
            table = f"{len(edges)}, {number(per)}, {number(shift)}, {', '.join(map(str, where))}"
        grains.append(f"{{{s.start}, {s.stop}, {rank}, {number(top)}, {number(low)}, {number(high)}, {table}}}")
    segments = e.table("struct sd_grain", "grains", f"{{{', '.join(grains)}}}")
    size = size_of(ctype(of))
    words = f"{GRIDS[a['grid']]}, {THRESHOLDS[a['threshold']]}, {CLIPS[a['clip']]}, {size}"
    choices = (a["order"] == "clip_first", a["overflow"] == "widen", centred)
    body = (
        f"{{{words}, {', '.join(str(c).lower() for c in choices)}, {number(a['factor'])}, {len(grains)}, {segments}}}"
    )
    return "&" + e.table("struct sd_encoder", "encoder", body, array=False)


def adding(e: Emitter, of: Spikes) -> str:
    """The struct sd_spikes of a product that may only add, NULL where it may multiply. Takes scratch for its sums."""
    if e.options.kernels != "add":
        return "NULL"
    tracks = ", ".join(e.numbers("flags", flags(s, 1, 1), "int") for s in of.segments)
    table = e.table("int *const", "tracks", f"{{{tracks}}}")
    body = f"{{{len(of.segments)}, {e.segments(of)}, {e.codes(of.segments)}, {table}}}"
    e.need(8 * of.steps)
    return "&" + e.table("struct sd_spikes", "spikes", body, array=False)


def product(e: Emitter, op: Op) -> int:
    """The number of a spiked product."""
    return next(i for i, o in enumerate(e.products) if o is op)


def counting(*lines: str) -> list[str]:
    """One thread counts, if any."""
    return ["if (t->stats && sd_once(t)) {", *(f"    {line}" for line in lines), "    sd_done(t);", "}"]


def count_linear(e: Emitter, op: Op, n: View, shift: View | None = None) -> list[str]:
    """Lines that count the spikes of a spike.linear."""
    of = op.operands[0].type
    out = e.program.weights[op.weights[0]].type.shape[0]
    assert isinstance(of, Spikes)
    if len(n.dims) != 2 or n.strides[-1] != 1:
        raise IRError("spiked linear layers take [B,S,in] in C")
    zero = f"{shift.pointer}, {shift.strides[0]}" if shift else "NULL, 0"
    which, (rows, width) = product(e, op), n.dims
    return counting(
        f"sd_count(t, {which}, {n.pointer}, {n.size}, {rows}, {n.strides[0]}, {e.segments(of)}, {zero}, {out});",
        f"sd_cost(t, {which}, {rows} * {out}, {rows} * {width} * {out});",
    )


def count_matmul(e: Emitter, op: Op, n: View, heads: int, inner: Size) -> list[str]:
    """Lines that count the spikes of a spike.matmul, of whose spikes n are [heads, rows, channels]."""
    of = op.operands[1].type
    assert isinstance(of, Spikes)
    shared, rows, width = n.dims
    assert isinstance(shared, int)
    if n.strides[-1] != 1:
        raise IRError("spikes of attention must lie channel by channel in C")
    which, outer = product(e, op), rows if op.attrs["transpose"] else width
    each, lies = f"{n.pointer} + i * {n.strides[0]}", (n.size, rows, n.strides[1], e.segments(of))
    return counting(
        f"for (sd_int i = 0; i < {shared}; i++) {{",
        "    " + call("sd_count", which, each, *lies, "NULL", 0, f"{NEW} * {heads // shared}"),
        "}",
        f"sd_cost(t, {which}, {heads} * {NEW} * {outer}, {heads} * {NEW} * {inner} * {outer});",
    )
