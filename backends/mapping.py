"""map.json: what became of each op in an emitted folder, which `sdllm-compile inspect --backend` shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..ir import NOWHERE, IRError, Op, Program, print_op

MAP = "map.json"
# How `became` begins where what was emitted leaves an op out, and whoever runs it must do that op themselves.
LEFT_OUT = "not expressed: "
KEYS = ("op", "ir", "became", "module", "loc")


def reading(program: Program) -> list[dict[str, str]]:
    """An entry for each op, in order, of which nothing is said yet: result name, line of the program, module path and
    source lines."""
    return [
        {
            "op": op.result.name,
            "ir": print_op(replace(op, loc=NOWHERE)),
            "became": "",
            "module": op.loc.module,
            "loc": ", ".join(op.loc.sources),
        }
        for op in program.ops
    ]


def write_map(out: Path, program: Program, became: Callable[[Op], str]) -> Path:
    """Write map.json into an emitted folder; `became` says in a few words what an op became there."""
    entries = [{**entry, "became": became(op)} for entry, op in zip(reading(program), program.ops, strict=True)]
    path = out / MAP
    path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    return path


def read_map(out: Path) -> list[dict[str, Any]]:
    """The entries of a folder's map.json. Raises IRError if it is missing or is none."""
    path = out / MAP
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise IRError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise IRError(f"{path}: is no JSON ({error})") from error
    if not isinstance(found, list) or not all(isinstance(e, dict) and set(KEYS) <= e.keys() for e in found):
        raise IRError(f"{path}: is no list of entries with {', '.join(KEYS)}")
    return [{**e, "loc": e["loc"] if isinstance(e["loc"], str) else ", ".join(e["loc"])} for e in found]
