"""The artifact: one folder that holds a compiled model, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..backends.container import PROGRAM, read_program
from ..backends.interface import Runner
from ..backends.registry import backend
from ..ir import IRError, Program, Store
from .errors import InputError

MANIFEST = "manifest.json"
METRICS = "metrics.json"
MACHINE = "machine.json"
FORMAT = 1

# Outside the promise that the same inputs give the same bytes.
_UNSIGNED = (MANIFEST, MACHINE)

# What every manifest of this format has, and other code relies on.
_KEYS = ("source", "generation", "pipeline", "backends", "tokenizer", "files")


@contextlib.contextmanager
def building(
    out: Path, *, force: bool = False, ours: Callable[[Path], bool] | None = None, what: str = "compiled model"
) -> Iterator[Path]:
    """A folder to write into that becomes `out` at the end; on any failure, or Ctrl-C, nothing is left of it.

    Raises InputError if `out` exists (`force` replaces a compiled model, or `what` `ours` says, or an empty folder, and
    nothing else), or the disk is full.
    """
    check_free(out, force=force, ours=ours, what=what)
    whole = out.resolve()  # what a link stands for is replaced, not the link
    partial = whole.with_name(whole.name + ".partial")
    missing = [folder for folder in whole.parents if not folder.exists()]
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        _swap(partial, whole)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{out}: the disk is full; free some space or give another -o") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR):
            raise InputError(f"{out}: cannot be written ({error.strerror}); give another -o") from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in missing:  # innermost first; those that hold something stay
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_free(
    out: Path, *, force: bool, ours: Callable[[Path], bool] | None = None, what: str = "compiled model"
) -> None:
    """Raises InputError if `out` exists and may not be replaced; see `building`."""
    if out.exists() and not _replaceable(out, ours or is_artifact):
        raise InputError(f"{out}: exists already and is no {what}, all that --force replaces; give another -o")
    if out.exists() and not force:
        raise InputError(f"{out}: exists already; give another -o, or --force to replace it")


def _replaceable(out: Path, ours: Callable[[Path], bool]) -> bool:
    return ours(out) or (out.is_dir() and not any(out.iterdir()))


def _swap(partial: Path, out: Path) -> None:
    old = out.with_name(out.name + ".old.partial")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """JSON with sorted keys and a newline at its end, so that the same value gives the same bytes."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_compact(path: Path, value: Mapping[str, Any]) -> None:
    """The same on one line, for what only programs read."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def signed_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of an artifact but the manifest and what a machine measured, by relative path."""
    found = sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    names = {p.relative_to(folder).as_posix(): p for p in found}
    return {name: sha256(p) for name, p in names.items() if name not in _UNSIGNED and not name.startswith("results/")}


@dataclass(frozen=True)
class Artifact:
    """A compiled model on disk."""

    folder: Path
    manifest: Mapping[str, Any]

    @cached_property
    def _loaded(self) -> tuple[Program, Store]:
        try:
            return read_program(self.folder)
        except IRError as error:
            raise InputError(str(error)) from error

    @property
    def program(self) -> Program:
        """The program. Raises InputError if the file is damaged or of another version."""
        return self._loaded[0]

    @property
    def store(self) -> Store:
        """Its weights."""
        return self._loaded[1]

    @property
    def backends(self) -> list[str]:
        """Backends it was emitted for."""
        return list(self.manifest.get("backends", {}))

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """What was measured when it was compiled; empty if nothing was. Raises InputError if the file is damaged."""
        path = self.folder / METRICS
        return read_json(path) if path.exists() else {}

    def tokenizer(self) -> Any | None:
        """The Hugging Face tokenizer, or None where the source had none."""
        if not self.manifest.get("tokenizer"):
            return None
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self.folder), trust_remote_code=False)

    def runner(self, name: str | None = None) -> Runner:
        """A runner by a backend it was emitted for, or by the reference interpreter. Raises InputError."""
        chosen = name or next(iter(self.backends), "reference")
        if chosen != "reference" and chosen not in self.backends:
            have = ", ".join([*self.backends, "reference"])
            raise InputError(f"{self.folder}: was not compiled for backend '{chosen}' (it has: {have})")
        return backend(chosen).load(self.folder / chosen)


def is_artifact(path: Path) -> bool:
    """Whether a folder is a compiled model."""
    return (path / MANIFEST).is_file() and (path / PROGRAM).is_file()


def open_artifact(path: Path) -> Artifact:
    """A compiled model. Raises InputError if there is none at that path, or of another format."""
    if not is_artifact(path):
        raise InputError(f"{path}: is no compiled model (it has no {MANIFEST} and {PROGRAM}); compile one first")
    manifest = read_json(path / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"{path / MANIFEST}: format {manifest.get('format')}, this sdllm reads {FORMAT}; compile the model again"
        )
    missing = [key for key in _KEYS if key not in manifest]
    if missing:
        raise InputError(f"{path / MANIFEST}: has no '{missing[0]}'; compile the model again")
    return Artifact(path, manifest)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of an artifact. Raises InputError if the file cannot be read or holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); compile the model again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no JSON object; compile the model again")
    return found
