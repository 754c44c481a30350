"""Spikes of a chosen encoder in time, and how often each count is there."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....ir import Code, Spikes
from .. import plots
from ..blocks import Block, Missing, Plot, Table, Text, Widget
from ..folder import NO_JOURNAL, Folder
from ..places import by_layer


def blocks(folder: Folder) -> list[Block]:
    """A raster to walk in, and a histogram for each kind of encoder."""
    encoders = folder.raster.get("encoders", [])
    if not encoders:
        names = {op.name for op in folder.artifact.program.ops}
        if "lif.fire" in names:
            return [Missing("Rasters are kept of encoders' counts; trains of LIF neurons are not kept yet.")]
        return [Missing(NO_JOURNAL if "spike.encode" in names else "No value of this program is encoded as spikes.")]
    told = (
        "One row a channel, one column a time step of a token; the first tokens of a held-out text, channels evenly "
        "chosen. A line stands where a token ends."
    )
    return [
        Text(told),
        Widget("raster", f"Spike raster of {folder.label}", _raster(folder, encoders)),
        *_histograms(folder.journal.get("histograms", [])),
    ]


def _raster(folder: Folder, encoders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of each encoder, and for each code the train of every count that is there."""
    program = folder.artifact.program
    makers = program.producers()
    linear = {op.operands[0].name for op in program.ops if op.name == "spike.linear"}
    found = []
    trains: dict[str, dict[str, list[int]]] = {}
    for encoder in encoders:
        of = makers[encoder["op"]].result.type if encoder["op"] in makers else None
        if not isinstance(of, Spikes):
            continue
        counts = np.frombuffer(base64.b64decode(encoder["counts"]), dtype="<i2").reshape(encoder["shape"])
        names = [_code(of, channel) for channel in encoder["channels"]]
        for name, code in {str(c): c for c in names}.items():
            here = np.unique(counts[:, [str(c) == name for c in names]])
            _learn(trains.setdefault(name, {}), code, here)
        found.append(
            {
                "label": _label(encoder, linear),
                "code": [str(c) for c in names] if len(set(map(str, names))) > 1 else str(names[0]),
                "shape": encoder["shape"],
                "channels": encoder["channels"],
                "counts": encoder["counts"],
                "steps": of.steps,
            }
        )
    return {"encoders": found, "trains": trains, "tokens": _tokens(folder)}


def _code(of: Spikes, channel: int) -> Code:
    """The code of a channel; the heads of keys and values are laid side by side, and have one code."""
    if len(of.segments) == 1:
        return of.segments[0].code
    return next(s.code for s in of.segments if s.start <= channel < s.stop)


def _learn(trains: dict[str, list[int]], code: Code, counts: Any) -> None:
    wanted = np.array([n for n in counts.tolist() if str(n) not in trains], dtype=np.int64)
    if wanted.size:
        made = code.encode(wanted)
        trains.update({str(n): made[:, i].tolist() for i, n in enumerate(wanted.tolist())})


def _label(encoder: Mapping[str, Any], linear: set[str]) -> str:
    return f"%{encoder['op']} {encoder['module']}" + ("" if encoder["op"] in linear else " (keys or values)")


def _tokens(folder: Folder) -> list[str]:
    ids: list[int] = folder.raster["ids"]
    tokenizer = folder.artifact.tokenizer()
    return [str(i) for i in ids] if tokenizer is None else [tokenizer.decode([i]) for i in ids]


def _histograms(encoders: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Of all encoders of a kind together, over all layers."""
    kinds: dict[str, dict[int, int]] = {}
    ends: dict[str, list[int]] = {}
    for one in encoders:
        kind = by_layer(one["module"])[1]
        total = kinds.setdefault(kind, {})
        for offset, times in enumerate(one["times"]):
            count = one["low"] + offset
            total[count] = total.get(count, 0) + times
        ends.setdefault(kind, []).extend((one["smallest"], one["largest"]))
    found: list[Block] = []
    for kind, total in kinds.items():
        whole = sum(total.values())
        points = [(str(n), times / whole * 100) for n, times in sorted(total.items())]
        table = Table("", ("count", "times", "%"), [(n, t, t / whole * 100) for n, t in sorted(total.items())])
        title = f"Counts of {kind}, all layers: {min(ends[kind])} to {max(ends[kind])} (beyond ±64 put at the ends)"
        found.append(Plot(title, plots.columns(plots.thinned(points), "count", "% of activations"), table))
    return found
