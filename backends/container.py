"""A program and its weights as a folder: `program.spike` (text) and `weights.safetensors`.

A float weight is the tensor `name`; one on a grid `name.codes`, `name.scales` and so on, a tensor
for each part. The same program and weights give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..ir import (
    IRError,
    Program,
    Store,
    Weight,
    WeightType,
    digest,
    parse_program,
    print_program,
)
from .tensorfile import Array, read_tensors, write_tensors

PROGRAM = "program.spike"
WEIGHTS = "weights.safetensors"

Form = tuple[np.dtype[Any], tuple[int, ...]]


def tensor_name(weight: str, part: str) -> str:
    """The name in the file of one part of a weight."""
    return weight if part == "values" else f"{weight}.{part}"


def forms(of: WeightType) -> dict[str, Form]:
    """dtype and shape of each part of a weight."""
    return {part: (np.dtype(dtype), shape) for part, (dtype, shape) in of.forms.items()}


def program_hash(program: Program) -> str:
    """sha256 of the program's text, which names the sha256 of every weight."""
    return hashlib.sha256(print_program(program).encode()).hexdigest()


def write_program(folder: Path, program: Program, store: Store) -> list[Path]:
    """Write program and weights into a folder, one weight in memory at a time; gives the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        (tensor_name(w.name, part), form, w, part)
        for w in program.weights.values()
        for part, form in forms(w.type).items()
    ]
    # Wide items first keeps every tensor aligned; the name makes the order the same whatever order they came in.
    parts.sort(key=lambda p: (-p[1][0].itemsize, p[0]))
    layout = {name: form for name, form, _, _ in parts}
    if len(layout) != len(parts):
        raise IRError("two weights would be stored under one tensor name")

    def arrays() -> Iterator[Array]:
        for _, (dtype, _shape), weight, part in parts:
            yield store.get(weight)[part].astype(dtype, copy=False)

    text, weights = folder / PROGRAM, folder / WEIGHTS
    write_tensors(weights, layout, arrays(), {"format": "sdllm", "program": program_hash(program)})
    text.write_text(print_program(program), encoding="utf-8", newline="\n")
    return [text, weights]


class FileStore(Store):
    """The weights of a folder, mapped; each is checked against its sha256 when it is first asked for."""

    def __init__(self, path: Path, program: Program) -> None:
        super().__init__()
        self._checked: set[str] = set()
        try:
            self._tensors, _ = read_tensors(path)
        except (OSError, ValueError, KeyError) as error:
            raise IRError(f"{path}: {error}") from error
        for weight in program.weights.values():
            self._lazy[weight.sha256] = partial(self._read, weight)

    def _read(self, weight: Weight) -> dict[str, Array]:
        names = {part: tensor_name(weight.name, part) for part in weight.type.forms}
        missing = [name for name in names.values() if name not in self._tensors]
        if missing:
            raise IRError(f"weight @{weight.name}: the file has no tensor {missing[0]}")
        parts = {part: self._tensors[name] for part, name in names.items()}
        if weight.name not in self._checked:
            if digest(parts) != weight.sha256:
                raise IRError(f"weight @{weight.name}: its bytes are not those the program was compiled with")
            self._checked.add(weight.name)
        return parts


def read_program(folder: Path) -> tuple[Program, Store]:
    """The program of a folder and a store of its weights, which reads and checks them when asked.

    Raises IRError if a file is missing or malformed, here, or when a weight is asked for that was changed.
    """
    path = folder / PROGRAM
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise IRError(f"{path}: {error.strerror}") from error
    program = parse_program(text, str(path))
    return program, FileStore(folder / WEIGHTS, program)


def provide(out: Path, program: Program, store: Store) -> list[Path]:
    """See that a backend's folder finds program and weights: in the artifact around it, or else written into it.

    Gives the files written. `find` then says where they are.
    """
    own = [out / PROGRAM, out / WEIGHTS]
    beside = out.parent / PROGRAM
    if beside.exists() and beside.read_text(encoding="utf-8") == print_program(program):
        for path in own:  # left by an earlier emit, they would be found first
            path.unlink(missing_ok=True)
        return []
    return write_program(out, program, store)


def find(out: Path) -> Path:
    """The folder that holds program and weights of a backend's folder."""
    return out if (out / PROGRAM).exists() else out.parent


__all__ = [
    "PROGRAM", "WEIGHTS", "FileStore", "find", "forms", "program_hash", "provide", "read_program",
    "tensor_name", "write_program",
]  # fmt: skip
