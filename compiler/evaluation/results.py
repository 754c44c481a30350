"""Results on disk: one JSON file each, with all that is needed to make it again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifact import write_json
from ..errors import InputError

FOLDER = "results"
FORMAT = 1


def place(name: str, folder: Path | None, given: Path | None) -> Path | None:
    """Where a result goes: where it is wanted, else OUT/results/NAME.json, else nowhere.

    Raises InputError if it could not be written there, so that a long evaluation does not end without a place.
    """
    path = given
    if given is None and folder is not None:
        path = folder / FOLDER / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.json"
    if path is None:
        return None
    standing = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not standing.is_dir() or not os.access(standing, os.W_OK):
        raise InputError(f"{path}: cannot be written; give another --save")
    return path


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    write_json(partial, result)
    partial.replace(path)


@dataclass(frozen=True, slots=True)
class Saved:
    """A result read back, with its items."""

    path: Path
    content: Mapping[str, Any]

    @property
    def items(self) -> list[dict[str, Any]]:
        """What each item (or window) scored. Raises InputError if that was not saved."""
        items = self.content.get("items")
        if not isinstance(items, list) or not items:
            raise InputError(f"{self.path}: has no items to compare; evaluate again with --save-items")
        return items


def read(path: Path) -> Saved:
    """A result. Raises InputError if the file is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a result ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or "metrics" not in content:
        raise InputError(f"{path}: is no result of `sdllm-compile eval`")
    return Saved(path, content)
