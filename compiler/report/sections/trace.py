"""A trace that was kept in the folder: errors and spikes of each module on one text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...artifact import read_json
from ...trace import place_of
from .. import plots
from ..blocks import Block, Plot, Table, Text
from ..folder import Folder

_COLUMNS = (
    "module", "", "input error", "error", "growth", "first token beyond", "spikes an activation", "when compiled",
    "spikes",
)  # fmt: skip
_KEYS = (
    "input_error",
    "error",
    "growth",
    "first_token",
    "spikes_per_activation",
    "compiled_spikes_per_activation",
    "spikes",
)


def blocks(folder: Folder) -> list[Block]:
    """The trace, or how to make one."""
    path = place_of(folder.artifact)
    if not path.exists():
        return [
            Text(f"None was kept. `sdllm-compile trace {folder.label} --prompt … --source MODEL --save` makes one.")
        ]
    found = read_json(path)
    for line in found["lines"]:  # people count from 1
        line["first_token"] = None if line["first_token"] is None else line["first_token"] + 1
    rows = [(line["module"], line["what"], *(line[key] for key in _KEYS)) for line in found["lines"]]
    return [Text(_told(found), strong=True), _tokens(found), Table("Modules in program order", _COLUMNS, rows)]


def _told(found: Mapping[str, Any]) -> str:
    whose = (
        "of this text"
        if found["against"] == "source"
        else "of the sample measured at compile time (no source was given)"
    )
    first = found["first_module"]
    told = f"{len(found['ids'])} tokens. Errors are {whose}. "
    told += f"The first module with an error beyond {found['tolerance']:g} is {first}. " if first else ""
    if found["against"] != "source":
        return told
    at = found["first_choice"]
    if at is None:
        return told + "After every token both hold the same next token likeliest."
    return told + f"Likeliest next tokens differ first after token {at + 1}, “{found['tokens'][at]}”."


def _tokens(found: Mapping[str, Any]) -> Plot:
    spikes = list(enumerate(zip(found["tokens"], found["spikes_by_token"], strict=True), 1))
    points = [(str(i), float(n)) for i, (_, n) in spikes]
    table = Table("", ("", "token", "spikes"), [(i, token, n) for i, (token, n) in spikes])
    return Plot(
        "Spikes that linear layers read at each token", plots.columns(plots.thinned(points), "token", "spikes"), table
    )
