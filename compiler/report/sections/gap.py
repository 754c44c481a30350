"""How far each module's output is from its source's, and where that grows."""

from __future__ import annotations

from .. import plots
from ..blocks import Block, Missing, Plot, Table, Text
from ..folder import NO_JOURNAL, Folder
from ..places import by_layer

_TOLD = (
    "Relative error of outputs, ‖y − y₀‖ / ‖y₀‖, averaged over the last half of {tokens} held-out tokens; y₀ is the "
    "source's, in the program's own basis (the source after the exact passes that the pipeline begins with). Growth is "
    "the error that a module adds to that of its input."
)


Row = tuple[str, str, float | None, float, float]


def blocks(folder: Folder) -> list[Block]:
    """The error along the model, and modules by growth."""
    gap = folder.journal.get("gap")
    if gap is None:
        known = (
            "The pipeline has no passes, so nothing differs from the source."
            if not folder.manifest["pipeline"]
            else None
        )
        return [Missing(known or NO_JOURNAL)]
    if not gap:
        return [Missing("No module of this program has a counterpart in its source to be compared with.")]
    rows: list[Row] = [
        (g["module"], g["what"], g["input_error"], g["error"], g["error"] - (g["input_error"] or 0.0)) for g in gap
    ]
    sums = [g for g in gap if g["what"].startswith("sum")]
    along = sums if len(sums) > 1 else gap
    points = [(float(i), g["error"]) for i, g in enumerate(along)]
    names = [(i, g["module"], g["what"], g["error"]) for i, g in enumerate(along)]
    what = "sums of the residual stream" if along is sums else "modules"
    svg = plots.lines({"relative error": points}, f"{what}, from first to last", "relative error")
    table = Table("", ("", "module", "", "relative error"), names)
    by_growth = sorted(rows, key=lambda row: -row[4])
    worst = by_growth[0]
    told = f"It grows most at {worst[0]}, by {worst[4]:.3f} to {worst[3]:.3f}."
    columns = ("module", "", "error of its input", "error", "growth")
    return [
        Text(_TOLD.format(tokens=folder.journal["sample_tokens"])),
        Text(told, strong=True),
        Plot(f"Error of the {what}", svg, table),
        Table("Modules by growth", columns, by_growth),
        *_by_kind(rows),
    ]


def _by_kind(rows: list[Row]) -> list[Block]:
    """Mean growth of each kind of module."""
    kinds: dict[str, list[float]] = {}
    for module, what, _, _, growth in rows:
        layer, kind = by_layer(module)
        if layer is not None:
            kinds.setdefault(f"{kind} {what}", []).append(growth)
    means = [(kind, len(values), sum(values) / len(values)) for kind, values in kinds.items()]
    ordered = sorted(means, key=lambda row: -row[2])
    return [Table("Kinds of modules by mean growth", ("kind", "layers", "mean growth"), ordered)] if means else []
