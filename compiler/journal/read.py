"""Where a journal lies in an artifact, and what a folder without one gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..artifact import read_json

JOURNAL = "journal.json"
RASTER = "raster.json"


def read_journal(folder: Path) -> Mapping[str, Any]:
    """The journal of a compiled folder; empty if it has none. Raises InputError if the file is damaged."""
    return read_json(folder / JOURNAL) if (folder / JOURNAL).exists() else {}


def read_raster(folder: Path) -> Mapping[str, Any]:
    """Its spike raster; empty if it has none. Raises InputError if the file is damaged."""
    return read_json(folder / RASTER) if (folder / RASTER).exists() else {}
