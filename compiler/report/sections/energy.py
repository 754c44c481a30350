"""Three bills side by side, with what each assumes."""

from __future__ import annotations

from ...energy.constants import FITTED_TOKENS
from ...energy.from_program import work_of_program
from ...energy.part import joules, merged
from ...energy.table import RULES, table
from ...energy.traffic import Memory
from ...errors import InputError
from .. import plots
from ..blocks import Block, Missing, Plot, Table, Text
from ..folder import NO_MEASURE, Folder

_UNITS = (("mJ", 1e3), ("µJ", 1e6), ("nJ", 1e9))


def blocks(folder: Folder) -> list[Block]:
    """Models by column, where the spike program's energy goes, and the assumptions."""
    metrics = folder.metrics
    if "layers" not in metrics:
        return [Missing(NO_MEASURE)]
    try:
        work = work_of_program(
            folder.artifact.program, metrics["layers"], metrics["tokens"], FITTED_TOKENS, folder.label
        )
    except InputError as error:
        return [Missing(str(error))]
    found = table(work, Memory())
    most = max(joules(model.bills[2]) for model in found.models) / work.tokens
    unit, factor = next((u for u in _UNITS if most * u[1] >= 1), _UNITS[-1])
    told = (
        f"Models of hardware, not measurements of it. In {unit}, for a token in a sequence of {FITTED_TOKENS:,} "
        "tokens; `sdllm-compile energy` has other lengths and memories."
    )
    rows = []
    for model in [*found.models, *([found.head] if found.head else [])]:
        cells = [None if bill is None else joules(bill) / work.tokens * factor for bill in model.bills]
        rows.append((model.name, *cells))
    columns = ("", *(f"{letter}: {rule}" for letter, rule in zip("abc", RULES, strict=True)))
    made: list[Block] = [Text(told)]
    bars = [(str(row[0]), row[3]) for row in rows if isinstance(row[3], float)]
    made.append(
        Plot(f"Energy a token, {unit}", plots.bars(bars, f"{unit}, column c: with memory"), Table("", columns, rows))
    )
    for letter, rule, bill in zip("abc", RULES, found.spiking.bills, strict=True):
        parts = merged(bill or [])
        total = sum(p.joules for p in parts) or 1.0
        lines = [(p.name, p.count, p.pj, p.joules / total * 100) for p in parts]
        names = ("part", "count in the sequence", "pJ each", "%")
        made.append(
            Table(f"Where the spike program's energy goes, column {letter} ({rule})", names, lines, folded=True)
        )
    for letter, rule, said in zip("abc", RULES, found.assumptions, strict=True):
        assumed = [(s.whose, s.text) for s in said]
        made.append(Table(f"Column {letter} ({rule}) assumes", ("whose", "assumption"), assumed))
    left = [(u.kind, None if u.share is None else u.share * 100) for u in work.uncounted]
    made.append(Table("Not counted in any column", ("kind", "% of operations"), left, folded=True))
    return made
