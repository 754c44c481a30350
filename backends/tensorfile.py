"""Safetensors files with numpy alone: a JSON header, then each tensor's bytes. Read by mapping, written by streaming.

The simulator copies this file verbatim into what it emits: keep it free of imports of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES: dict[str, str] = {
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Every tensor of a file, mapped copy-on-write and not yet read, and the file's metadata.

    Raises ValueError where the file is no safetensors file, or ends too early.
    """
    whole = np.memmap(path, dtype=np.uint8, mode="c").view(np.ndarray)
    if whole.size < 8:
        raise ValueError(f"{path} is no safetensors file: it has {whole.size} bytes")
    start = 8 + int(whole[:8].view("<u8")[0])
    if start > whole.size:
        raise ValueError(f"{path} is no safetensors file: its header is longer than the file")
    header: dict[str, Any] = json.loads(whole[8:start].tobytes())
    metadata = header.pop("__metadata__", {})
    found: dict[str, Array] = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        if start + last > whole.size:
            raise ValueError(f"{path} ends before the end of tensor {name}")
        found[name] = whole[start + first : start + last].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return found, metadata


def write_tensors(
    path: Path,
    layout: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
    arrays: Iterable[Array],
    metadata: Mapping[str, str],
) -> None:
    """Write tensors of the given dtypes and shapes; `arrays` yields them in the order of `layout`, one at a time."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    position = 0
    for name, (dtype, shape) in layout.items():
        size = dtype.itemsize * prod(shape)
        where = [position, position + size]
        header[name] = {"dtype": _NAMES[dtype.str], "shape": list(shape), "data_offsets": where}
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that tensors stand at multiples of eight bytes
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for a in arrays:
            file.write(np.ascontiguousarray(a).data if a.size else b"")
