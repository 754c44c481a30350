"""Unicode's composed form as tables for C, asked of the tokenizers library, whose Unicode is not Python's.

Hangul syllables, which are made by arithmetic, are left out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tokenizers import normalizers

_SYLLABLES = range(0xAC00, 0xAC00 + 11172)


@dataclass(frozen=True)
class Composition:
    """`marks`: first characters of runs of one order among marks (0: no mark), and the order; `apart`: what a character
    is made of, whole; `together`: what two characters compose to."""

    marks: tuple[tuple[int, int], ...]
    apart: Mapping[int, tuple[int, ...]]
    together: Mapping[tuple[int, int], int]


@cache
def composition() -> Composition:
    """The tables."""
    composed, taken = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
    apart: dict[int, tuple[int, ...]] = {}
    together: dict[tuple[int, int], int] = {}
    for point in [p for p in range(0xC0, 0x30000) if not 0xD800 <= p < 0xE000 and p not in _SYLLABLES]:
        char = chr(point)
        parts = taken(char)
        if parts == char:
            continue
        apart[point] = tuple(map(ord, parts))
        if composed(char) == char:  # some are only ever taken apart
            together[ord(composed(parts[:-1])), ord(parts[-1])] = point
    marks, now = [(0, 0)], 0
    for point in range(0x300, 0x110000):
        order = unicodedata.combining(chr(point))  # which never changes once it is there
        if order and not _moves(chr(point)):
            order = 0
        if order != now:
            marks.append((point, order))
        now = order
    return Composition(tuple(marks), apart, together)


def _moves(char: str) -> bool:
    """Whether the library takes a character for a mark: beside one of the lowest order, or of the highest."""
    taken = normalizers.NFD().normalize_str
    return any(taken(pair) != pair for pair in (char + "\u0334", "\u0345" + char))
