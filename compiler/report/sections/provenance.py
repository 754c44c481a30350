"""Where the model comes from, under which licence, and with what it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..blocks import Block, Table, Text
from ..folder import Folder


def blocks(folder: Folder) -> list[Block]:
    """Source and licence first, then how it was made, files with their hashes, times."""
    manifest = folder.manifest
    licence = manifest["source"].get("licence")
    told = f"Licence of the source: {licence}." if licence else "The source names no licence: ask its authors."
    seconds = [
        (stage, value) for stage, value in folder.machine.get("seconds", {}).items() if not stage.startswith("pass ")
    ]
    return [
        Text(told, strong=True),
        Table("", ("", ""), list(_rows(folder))),
        Table("Files", ("file", "sha256"), sorted(manifest["files"].items()), folded=True),
        *([Table("Seconds of each stage", ("stage", "seconds"), seconds, folded=True)] if seconds else []),
    ]


def _rows(folder: Folder) -> Iterator[tuple[str, str]]:
    manifest = folder.manifest
    for key, value in sorted(manifest["source"].items()):
        if key != "files" and value is not None:
            yield f"source: {key}", value if isinstance(value, str) else json.dumps(value)
    for name, sha in sorted(manifest["source"].get("files", {}).items()):
        yield f"source file: {name}", sha
    if manifest.get("recipe"):
        yield "recipe", manifest["recipe"]
    if manifest.get("earlier"):
        yield "passes before", ", ".join(manifest["earlier"])
    yield "pipeline", ", ".join(manifest["pipeline"]) or "none"
    made = manifest.get("calibration", {})
    if made:
        yield "calibration", f"{made.get('origin')}, {made.get('shape')} tokens, sha256 {made.get('sha256')}"
    yield "seed", str(manifest.get("seed"))
    yield "backends", ", ".join(manifest["backends"]) or "none"
    for note in manifest.get("notes", []):
        yield "note", note
    for name, version in sorted(manifest.get("versions", {}).items()):
        yield f"version: {name}", version
