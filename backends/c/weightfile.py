"""weights.bin: the sections a model reads, each at a multiple of 64 bytes, with sizes and checksums (runtime/weights.h
has the layout). Sections are made one at a time, while they are written."""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAGIC, VERSION, HEADER, LINE, ALIGN = b"SDLLM-C\n", 1, 64, 24, 64
_MIX = np.uint64(0xD6E8FEB86659FD93)
_AGAIN = np.uint64(0x94D049BB133111EB)
_PLACE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Section:
    """Bytes to come. Hot ones are read for every token."""

    size: int
    hot: bool
    make: Callable[[], Array]


class Sections:
    """Sections in order, each once however often it is asked for."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self._known: dict[Hashable, int] = {}

    def add(self, key: Hashable, size: int, make: Callable[[], Array], *, hot: bool = True) -> int:
        """The number of the section of that key, which `make` gives the array of."""
        if key not in self._known:
            self._known[key] = len(self.sections)
            self.sections.append(Section(size, hot, make))
        return self._known[key]

    def array(self, key: Hashable, array: Array) -> int:
        """A section of a small array."""
        return self.add(key, array.nbytes, lambda: array)


def checksum(data: Array) -> int:
    """As in runtime/weights.c, of an array of bytes: each word of 64 bits, mixed with its place, summed."""
    total = np.uint64(data.size)
    with np.errstate(over="ignore"):
        for start in range(0, data.size, 1 << 23):
            some = data[start : start + (1 << 23)]
            words = np.zeros(-(-some.size // 8), dtype="<u8")
            words.view(np.uint8)[: some.size] = some
            words += (np.arange(start // 8, start // 8 + words.size, dtype=np.uint64) + np.uint64(1)) * _PLACE
            words ^= words >> np.uint64(30)
            words *= _MIX
            words ^= words >> np.uint64(27)
            words *= _AGAIN
            words ^= words >> np.uint64(31)
            total += words.sum(dtype=np.uint64)
    return int(total)


def write_weights(path: Path, program: bytes, sections: Sections) -> int:
    """Write the file of the program with that hash, and give its size."""
    lines, at = b"", HEADER + LINE * len(sections.sections)
    with path.open("wb") as file:
        for section in sections.sections:
            at = -(-at // ALIGN) * ALIGN
            data = np.ascontiguousarray(section.make()).reshape(-1).view(np.uint8)
            assert data.size == section.size, (data.size, section.size)
            file.seek(at)
            file.write(data.data if data.size else b"")
            lines += struct.pack("<QQQ", at, data.size, checksum(data))
            at += data.size
        head = struct.pack("<8sIIQ32sQ", MAGIC, VERSION, len(sections.sections), at, program, 0) + lines
        total = checksum(np.frombuffer(head, dtype=np.uint8))
        file.seek(0)
        file.write(head[:56] + struct.pack("<Q", total) + lines)
        file.truncate(at)
    return at
