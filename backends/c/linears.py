"""Fused linear groups: weights packed for the kernel that was chosen, and one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import GridWeight, IRError, RowWeight, Spikes
from ...ir.store import integers
from ...ir.types import planes
from .costs import KERNELS
from .counts import count_linear
from .emitter import Emitter, quoted
from .fuse import LinearGroup
from .pack import (
    by_block,
    by_line,
    cells,
    dense_codes,
    dense_size,
    event_codes,
    flags,
    interleaved,
    lined,
    narrow,
    padded,
    plane_sums,
    unsigned,
    widest,
)
from .views import NEW, View, call

Array = NDArray[Any]

# Counts of two signed bytes, n = low + 256·high: what the dense kernel takes, and the quick event kernel.
MOST_SPLIT = 2**15 - 129
STRUCTS = {"dense": "SD_DENSE", "event": "SD_EVENT", "add": "SD_ADDED"}


def _fits(of: Spikes) -> bool:
    return all(s.code.lo >= -MOST_SPLIT and s.code.hi <= MOST_SPLIT for s in of.segments)


def _choose(e: Emitter, group: LinearGroup, centred: bool) -> tuple[str, dict[str, Any]]:
    """The kernel of a group, and what is told of the choice: microseconds of a call by each that can take it."""
    wanted, costs, spikes = e.options.kernels, e.costs, group.counts.type
    assert isinstance(spikes, Spikes)
    if costs is None:
        return (wanted if wanted != "dense" or _fits(spikes) else "event"), {}
    # Kept less their zero points, counts are no longer those of the code's trains, and their zeros others.
    can = [k for k in KERNELS if (k != "dense" or _fits(spikes)) and (k != "add" or not centred)]
    share = 1.0 if centred else e.firing.get(group.counts.name, 1.0)
    times = {}
    for kernel in can:
        p = _Packing(e, group, STRUCTS[kernel])
        form = "rows" if p.plain else "nibbles" if p.nibbles else "bytes"
        times[kernel] = round(costs.predict(kernel, form, p.of.shape[1], p.out, share), 2)
    return min(can, key=lambda k: times[k]), {"nonzero": share, "microseconds": times}


class _Packing:
    """The weights of a linear group in the layout of its kernel."""

    def __init__(self, e: Emitter, group: LinearGroup, kernel: str) -> None:
        self.e, self.group, self.kernel = e, group, kernel
        self.weights = [e.program.weights[p.weight] for p in group.parts]
        of = self.weights[0].type
        spikes = group.counts.type
        assert isinstance(of, GridWeight | RowWeight)
        assert isinstance(spikes, Spikes)
        self.of, self.spikes = of, spikes
        self.nibbles = of.bits <= 4
        self.largest = of.range[1] - of.range[0]
        self.dense = kernel == "SD_DENSE"
        add = kernel == "SD_ADDED"
        widths = [widest(s.code, self.largest) if add else of.shape[1] for s in spikes.segments]
        self.cells = cells(spikes.starts, of, self.nibbles, widths)
        self.planes = planes(spikes.starts, of)
        self.out = sum(padded(w.type.shape[0]) for w in self.weights)
        usual = isinstance(of, RowWeight) and self.nibbles and len(self.planes) == 1 and _fits(spikes)
        self.plain = usual and all(c.stop - c.start == 32 for c in self.cells)
        narrow = e.program.meta.get("narrow_offsets", -1) if self.dense and self.plain and of.bits == 4 else -1
        self.narrow = narrow if isinstance(narrow, int) and 0 <= narrow < 8 else -1
        self.key = (*(w.sha256 for w in self.weights), kernel, spikes.starts, group.gated is not None)

    def _rows(self, part: str) -> Array:
        parts = [self.e.store.get(w)[part] for w in self.weights]
        return interleaved(parts, self.group.gated is not None)

    def codes(self) -> int:
        size = (
            dense_size(self.out, self.cells, self.nibbles)
            if self.dense
            else self.of.shape[1] * lined(self.out, self.nibbles) // (2 if self.nibbles else 1)
        )

        def make() -> Array:
            codes = interleaved(
                [unsigned(self.of, self.e.store.get(w)["codes"])[0] for w in self.weights], self.group.gated is not None
            )
            return dense_codes(codes, self.cells, self.nibbles) if self.dense else event_codes(codes, self.nibbles)

        return self.e.sections.add((*self.key, "codes"), size, make)

    def _spread(self, part: str, groups: Sequence[int], dtype: str) -> int:
        """A part with one column for each of these groups, by block for the dense kernel, by column for the others."""
        size = (self.out if self.dense else lined(self.out)) * len(groups) * np.dtype(dtype).itemsize

        def make() -> Array:
            values = self._rows(part)
            if part == "offsets" and self.narrow >= 0:
                values = narrow(values, self._rows("steps"), self.narrow)
            values = values[:, list(groups)].astype(dtype)
            return by_block(values) if self.dense else by_line(values)

        return self.e.sections.add((*self.key, part), size, make)

    def parts(self) -> tuple[int, int, int, int]:
        """Sections of steps, offsets, scales and minima."""
        if isinstance(self.of, RowWeight):
            groups = [c.group for c in self.cells]
            scales = self.e.sections.add(
                (*self.key, "scales"), 4 * self.out, lambda: self._rows("scales").astype("<f4")
            )
            offsets = self._spread("offsets", groups, "<i2" if self.narrow < 0 else "|i1")
            return self._spread("steps", groups, "|u1"), offsets, scales, -1
        groups = [p.group for p in self.planes]
        minima = self._spread("minima", groups, "<f2") if self.of.minimum else -1
        return -1, -1, self._spread("scales", groups, "<f2"), minima

    def sums(self) -> int:
        """Section of what a zero point is times."""

        def make() -> Array:
            of = self.of
            whole = interleaved([integers(of, self.e.store.get(w)) for w in self.weights], self.group.gated is not None)
            values = plane_sums(whole, [p.start for p in self.planes]).astype("<i4")
            return by_block(values) if self.dense else by_line(values)

        size = 4 * (self.out if self.dense else lined(self.out)) * len(self.planes)
        return self.e.sections.add((*self.key, "sums"), size, make)

    def flags(self) -> str:
        """What each step of each segment's train asks of the membrane."""
        items: list[int] = []
        for i, s in enumerate(self.spikes.segments):
            width = max((c.stop - c.start for c in self.cells if c.segment == i), default=1)
            items += flags(s, width, self.largest)
        return self.e.numbers("flags", items, "int")


def _scratch(p: _Packing, rows: int) -> int:
    """Bytes of scratch that the kernel takes."""
    sums = -(-rows * len(p.cells) * 4 // 64) * 64
    if p.dense:
        return sums + 2 * rows * sum(c.padded for c in p.cells) + rows * len(p.cells) + 64
    if p.kernel == "SD_EVENT" and p.plain:
        events = 2 * p.of.shape[1] + 16 * len(p.cells) + 132
        return rows * (48 + 5 * events + 68 * len(p.cells) + 4 + 64) + 64
    events = 8 * p.of.shape[1]
    if p.kernel == "SD_ADDED":
        most = 0
        for s in p.spikes.segments:
            spikes = int(s.code.spikes(np.arange(s.code.lo, s.code.hi + 1)).max())
            width = max((c.stop - c.start for c in p.cells), default=1)
            most = max(most, 4 * (2 * s.code.steps + 2 + spikes * width))
        events = most
    return sums + rows * (p.out // 16) * 192 + events + 64


def linear_group(e: Emitter, group: LinearGroup) -> None:
    """One call for all matrices on one encoded input."""
    n, v = e.view(group.counts), e.view(group.scale)
    z = e.view(group.zero) if group.zero else None
    if len(n.dims) != 2 or n.strides[1] != 1 or v.strides[-1] != 1:
        raise IRError("spiked linear layers take [B,S,in] in C")
    spikes = group.counts.type
    assert isinstance(spikes, Spikes)
    centred = group.counts.name in e.centred
    chosen, told = _choose(e, group, centred)
    kernel = STRUCTS[chosen]
    p = _Packing(e, group, kernel)
    out = p.out // 2 if group.gated else p.out
    y = e.room("float", (NEW, out))
    steps, offsets, scales, minima = p.parts()
    bias = e.padded_bias(
        [(q.bias, w.type.shape[0]) for q, w in zip(group.parts, p.weights, strict=True)], bool(group.gated)
    )
    act = group.parts[0].act
    code = e.codes(p.spikes.segments) if kernel == "SD_ADDED" else "NULL"
    flag = p.flags() if kernel == "SD_ADDED" else "NULL"
    ragged = any(c.stop - c.start != c.padded or c.at != c.start for c in p.cells)
    whole = sum(c.padded for c in p.cells)
    rows, gated = isinstance(p.of, RowWeight), group.gated is not None
    sums = p.sums() if z is not None and not centred else -1
    flags_text = ", ".join(str(f).lower() for f in (rows, gated, ragged, p.plain and sums < 0))
    sizes = f"{n.size}, {p.of.shape[1]}, {whole}, {p.out}, {0 if rows else p.of.range[0]}, {p.narrow}"
    shape = f"{len(p.cells)}, {len(p.planes)}, {len(p.spikes.segments)}, {e.cells(p.cells)}"
    sections = f"{p.codes()}, {steps}, {offsets}, {scales}, {minima}, {bias}, {sums}"
    body = (
        f"{{{kernel}, {int(not p.nibbles)}, {flags_text}, SD_{act.upper() or 'NOTHING'}, {sizes}, {shape},\n"
        f"    {sections}, {code}, {flag}}}"
    )
    name = e.table("struct sd_linear", "linear", body, array=False)
    e.need(_scratch(p, e.most_tokens))
    used_z = z if not centred else None
    if used_z is not None and used_z.strides[0] != v.strides[0]:
        raise IRError("scales and zero points of spikes must lie alike in C")
    pointers = ", ".join(x.pointer if x else "NULL" for x in (n, v, used_z, y))
    args = f"{pointers}, {n.strides[0]}, {v.strides[0]}, {y.strides[0]}"
    lines = [call("K->linear", f"&{name}", f"&(struct sd_call){{{args}}}")]
    shown = group.parts[0].linear.result.name
    lines.append(f"sd_show(t, {quoted(shown)}, 4, {NEW} * {len(p.planes)}, {p.out}, {p.out}, t->m->seen);")
    for part in group.parts:
        lines += count_linear(e, part.linear, n, z if centred else None)
    e.step(group.ops, lines, kind="SD_LINEAR", small=False)
    e.kernels.append(
        {"module": group.parts[0].linear.loc.module, "matrices": len(group.parts), "kernel": chosen, **told}
    )
    _results(e, group, y)


def _results(e: Emitter, group: LinearGroup, y: View) -> None:
    if group.gated:
        width = group.parts[0].result.type.shape[-1]
        assert isinstance(width, int)
        made = y.sliced(1, 0, width)
        assert made is not None
        e.views[group.gated.result.name] = made
        return
    at = 0
    for part in group.parts:
        width = part.result.type.shape[-1]
        assert isinstance(width, int)
        made = y.sliced(1, at, at + width)
        assert made is not None
        e.views[part.result.name] = made
        at += padded(width)
