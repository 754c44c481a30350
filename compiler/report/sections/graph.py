"""The program as a diagram to walk in, and what its graph says."""

from __future__ import annotations

from ....ir import print_op
from ...graph.analysis import Analysis, analyse
from ...graph.data import graph_data
from .. import plots
from ..blocks import Block, Plot, Table, Text, Widget
from ..folder import Folder

_POINTS = 400


def blocks(folder: Folder) -> list[Block]:
    """The diagram first."""
    program = folder.artifact.program
    found = analyse(program)
    lines = folder.metrics.get("layers", [])
    told = (
        "Blocks open by click, Enter or →, and close by ←; ↑ and ↓ walk. A click on an op shows its text, types, place "
        "in the source, weights and spikes."
    )
    readers = [(f"%{name}", number) for name, number in found.fan_out[:10]]
    data = graph_data(program, folder.artifact.store, lines, found)
    return [
        Text(told),
        Widget("graph", f"The program of {folder.label}", data),
        Table("", ("", ""), _facts(folder, found)),
        _memory(found),
        Table("Values that most ops read", ("value", "readers"), readers, folded=True),
    ]


def _facts(folder: Folder, found: Analysis) -> list[tuple[str, str]]:
    program = folder.artifact.program
    share = found.chain / (found.total or 1)
    peak = program.ops[found.peak]
    return [
        ("ops", f"{len(program.ops):,}"),
        (
            "critical path",
            f"{len(found.critical):,} ops, {found.chain:.4g} of {found.total:.4g} operations ({share:.1%}) must follow "
            "one another",
        ),
        ("memory peak", f"{found.memory[found.peak] / 1e6:.4g} MB of values, at op {found.peak}: {print_op(peak)}"),
    ]


def _memory(found: Analysis) -> Plot:
    """Bytes alive, op by op; the most of each stretch where there are many."""
    every = -(-len(found.memory) // _POINTS)
    parts = [found.memory[i : i + every] for i in range(0, len(found.memory), every)]
    points = [(float(i * every), max(part) / 1e6) for i, part in enumerate(parts)]
    title = f"Memory of values in a prefill of {found.tokens} tokens, in the program's order"
    table = Table("", ("from op", "MB alive"), [(int(i), mb) for i, mb in points])
    return Plot(title, plots.lines({"MB alive": points}, "op", "MB alive"), table)
