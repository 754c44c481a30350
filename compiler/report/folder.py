"""One compiled folder as a report sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..artifact import MACHINE, Artifact, open_artifact, read_json
from ..journal import read_journal, read_raster

NO_JOURNAL = "This folder has no journal: it was compiled by an earlier version. Compile the model again to have it."
NO_MEASURE = "Nothing was measured: the model was compiled with --no-measure. Compile it without."


@dataclass(frozen=True)
class Folder:
    """A compiled folder, with a label of its own in this report. All files are read when they are asked for."""

    artifact: Artifact
    label: str

    @property
    def manifest(self) -> Mapping[str, Any]:
        """manifest.json."""
        return self.artifact.manifest

    @property
    def metrics(self) -> Mapping[str, Any]:
        """metrics.json; empty where nothing was measured."""
        return self.artifact.metrics

    @cached_property
    def machine(self) -> Mapping[str, Any]:
        """machine.json; empty where there is none."""
        path = self.artifact.folder / MACHINE
        return read_json(path) if path.exists() else {}

    @cached_property
    def journal(self) -> Mapping[str, Any]:
        """journal.json; empty in folders of earlier versions."""
        return read_journal(self.artifact.folder)

    @cached_property
    def raster(self) -> Mapping[str, Any]:
        """raster.json; empty where nothing was encoded."""
        return read_raster(self.artifact.folder)


def open_folders(paths: list[Path]) -> list[Folder]:
    """Folders with labels that tell them apart. Raises InputError."""
    artifacts = [open_artifact(path) for path in paths]
    names = [path.resolve().name for path in paths]
    labels = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    return [Folder(a, label) for a, label in zip(artifacts, labels, strict=True)]
