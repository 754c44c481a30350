"""One side of a comparison: a compiled folder, or a program's text without weights and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...ir import IRError, Program, Store, parse_program
from ..artifact import is_artifact, open_artifact
from ..errors import InputError


@dataclass(frozen=True)
class Side:
    """A program with what is known beside it."""

    label: str
    program: Program
    store: Store | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)


def open_side(path: Path) -> Side:
    """A compiled folder or a .spike file. Raises InputError for anything else."""
    if is_artifact(path):
        artifact = open_artifact(path)
        return Side(str(path), artifact.program, artifact.store, artifact.metrics)
    if not path.is_file():
        raise InputError(f"{path}: is neither a compiled folder nor a .spike file")
    try:
        return Side(str(path), parse_program(path.read_text(encoding="utf-8")))
    except (IRError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a program ({error})") from error


def between_passes(folder: Path) -> list[tuple[Side, Side]]:
    """Each program of a --dump-dir with the one after it. Raises InputError if there are not two."""
    files = sorted(folder.glob("[0-9][0-9]-*.spike"))
    if len(files) < 2:
        raise InputError(f"{folder}: has no two programs of a pipeline (compile with --dump-dir {folder})")
    sides = [open_side(path) for path in files]
    return list(pairwise(Side(path.stem, side.program) for path, side in zip(files, sides, strict=True)))
