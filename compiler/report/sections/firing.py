"""Firing rate, additions, γ and spikes of each step, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import plots
from ..blocks import Block, Missing, Plot, Table
from ..folder import NO_MEASURE, Folder
from ..places import by_layer

Line = Mapping[str, Any]

_COLUMNS = ("layer", "product", "code", "firing rate", "spikes an activation", "additions a multiply-add", "γ")


def blocks(folder: Folder) -> list[Block]:
    """Plots over the model's layers, each with its table."""
    layers: Sequence[Line] = folder.metrics.get("layers", [])
    if not layers:
        return [Missing(NO_MEASURE if not folder.metrics else "No product of this program runs on spikes.")]
    found: list[Block] = [
        _over_layers(layers, "firing_rate", "firing rate", "Firing rate: spikes for each activation and time step"),
        _over_layers(layers, "additions_per_weight", "additions", "Additions for each multiply-add of the source"),
    ]
    if any("gamma" in line for line in layers):
        known = [{**line, "log": math.log10(line["gamma"])} for line in layers if line.get("gamma", 0) > 0]
        title = "γ: squared error of a product that its encoder causes, relative to the product"
        found.append(_over_layers(known, "log", "γ", title, values="gamma", tick=lambda v: f"{10**v:.2g}"))
    steps = [_steps(layers, attention) for attention in (False, True)]
    found += [plot for plot in steps if plot is not None]
    rows = [
        (*_place(line), line["code"], *(line.get(key) for key in ("firing_rate", "spikes_per_activation")),
         line["additions_per_weight"], line.get("gamma"))
        for line in layers
    ]  # fmt: skip
    return [*found, Table("Every spiked product", _COLUMNS, rows, folded=True)]


def _place(line: Line) -> tuple[int | None, str]:
    layer, kind = by_layer(line["module"])
    return layer, kind + (" (product)" if line["op"] == "spike.matmul" else "")


def _over_layers(
    layers: Sequence[Line], key: str, y: str, title: str, *, values: str | None = None, tick: Any = None
) -> Plot:
    """A line a kind of product; kinds whose figures are the same everywhere, as of one encoder, share one."""
    found: dict[str, dict[int, float]] = {}
    shown: dict[str, dict[int, float]] = {}
    seen: dict[tuple[str, int], int] = {}
    for line in layers:
        layer, path = by_layer(line["module"])
        at, kind = layer or 0, path.rpartition(".")[2]
        if line["op"] == "spike.matmul":
            number = seen[kind, at] = seen.get((kind, at), 0) + 1
            kind += (" scores", " values")[number - 1] if number < 3 else f" {number}"
        found.setdefault(kind, {})[at] = line[key]
        shown.setdefault(kind, {})[at] = line[values or key]
    merged: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for kind, points in found.items():
        merged.setdefault(tuple(sorted(points.items())), []).append(kind)
    series = {", ".join(kinds): list(points) for points, kinds in merged.items()}
    table_of = {", ".join(kinds): shown[kinds[0]] for kinds in merged.values()}
    numbers = sorted({n for points in table_of.values() for n in points})
    rows = [(n, *(points.get(n) for points in table_of.values())) for n in numbers]
    return Plot(title, plots.lines(series, "layer", y, tick=tick), Table("", ("layer", *table_of), rows))


def _steps(layers: Sequence[Line], attention: bool) -> Plot | None:
    """Where in time the spikes fall, all products of a kind together."""
    chosen = [line for line in layers if (line["op"] == "spike.matmul") == attention]
    total = [0] * max((len(line["steps"]) for line in chosen), default=0)
    for line in chosen:
        for step, spikes in enumerate(line["steps"]):
            total[step] += spikes
    if not sum(total):
        return None
    whole = sum(total)
    what = "attention" if attention else "linear layers"
    points = [(str(step), spikes / whole * 100) for step, spikes in enumerate(total)]
    table = Table("", ("time step", "spikes", "%"), [(i, n, n / whole * 100) for i, n in enumerate(total)])
    return Plot(f"Spikes by time step, {what}", plots.columns(plots.thinned(points), "time step", "% of spikes"), table)
