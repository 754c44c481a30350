"""A line of a bill: so many of these at that price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .constants import PICO


@dataclass(frozen=True, slots=True)
class Part:
    """`count` operations, or 32-bit accesses, at `pj` each: one line of a bill."""

    name: str
    count: float
    pj: float

    @property
    def joules(self) -> float:
        """Energy in J."""
        return self.count * self.pj * PICO


def joules(parts: Iterable[Part]) -> float:
    """Sum of a bill, in J."""
    return sum(p.joules for p in parts)


def merged(parts: Iterable[Part]) -> list[Part]:
    """Parts of the same name and price as one, in order of first mention; those of nothing are left out."""
    found: dict[tuple[str, float], float] = {}
    for p in parts:
        if p.count:
            found[p.name, p.pj] = found.get((p.name, p.pj), 0.0) + p.count
    return [Part(name, count, pj) for (name, pj), count in found.items()]
