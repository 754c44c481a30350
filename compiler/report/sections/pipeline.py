"""Each pass: how long it took, what it changed, what it saved and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..blocks import Block, Missing, Table, Text
from ..folder import NO_JOURNAL, Folder

_COLUMNS = (
    "", "pass", "exact", "changed", "seconds", "ops before", "ops after", "KL to the source", "linear additions",
    "saved, %", "attention additions",
)  # fmt: skip


def blocks(folder: Folder) -> list[Block]:
    """The pipeline as a table, then what each pass said of each module."""
    passes = folder.journal.get("passes")
    if not folder.manifest["pipeline"]:
        return [Text("The pipeline has no passes: the program is the captured model.")]
    if passes is None:
        rows = [(i + 1, name, _seconds(folder, i, name)) for i, name in enumerate(folder.manifest["pipeline"])]
        return [Missing(NO_JOURNAL), Table("", ("", "pass", "seconds"), rows)]
    rows_of_passes = [_row(folder, i, one, passes[i - 1] if i else {}) for i, one in enumerate(passes)]
    told = (
        f"After each pass the program ran on {folder.journal.get('sample_tokens', 0)} held-out tokens. KL in nats a "
        "token; additions for each multiply-add of the source, saved against the pass before."
    )
    found: list[Block] = [Text(told), Table("", _COLUMNS, rows_of_passes)]
    for i, one in enumerate(passes):
        notes = [(module or "(program)", text) for module, text in one["notes"]]
        if notes:
            title = f"{i + 1} {one['pass'].partition('{')[0]}: what it said ({len(notes)})"
            found.append(Table(title, ("module", ""), notes, folded=True))
    return found


def _row(folder: Folder, index: int, one: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[object, ...]:
    key = "linear_additions_per_weight"
    saved = (1 - one[key] / before[key]) * 100 if before.get(key) and key in one else None
    return (
        index + 1, one["pass"], one["exact"], one["changed"], _seconds(folder, index, one["pass"]), *one["ops"],
        one.get("kl"), one.get(key), saved, one.get("attention_additions_per_weight"),
    )  # fmt: skip


def _seconds(folder: Folder, index: int, name: str) -> float | None:
    seconds: Mapping[str, float] = folder.machine.get("seconds", {})
    return seconds.get(f"pass {index + 1} {name.partition('{')[0]}")
