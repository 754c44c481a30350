"""Where values lie while a token goes through: memory that is used again once nothing reads a value any more.

Slots of one pool have a row for each token; those of the other grow with the context and stand behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .views import Slot

LINE = 64


@dataclass
class _Pool:
    """Pieces of memory by size; freed ones are taken again, the longest free first."""

    free: list[tuple[int, int]] = field(default_factory=list)  # size, place
    end: int = 0

    def take(self, size: int) -> int:
        for index, (have, place) in enumerate(self.free):
            if have == size:
                del self.free[index]
                return place
        fitting = [(have, i) for i, (have, _) in enumerate(self.free) if size <= have <= 2 * size]
        if fitting:
            return self.free.pop(min(fitting)[1])[1]
        self.end += size
        return self.end - size


class Arena:
    """Places of slots, in bytes; pointers as C text."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._pools = {kind: _Pool() for kind in ("tokens", "context")}
        self._live: dict[Slot, tuple[str, int, int]] = {}

    def take(self, row: int) -> tuple[Slot, str]:
        """A slot of rows of so many bytes (a multiple of 64), and its place."""
        assert row % LINE == 0
        size = row * self._tokens
        place = self._pools["tokens"].take(size)
        slot = Slot(f"tokens {place}")
        self._live[slot] = ("tokens", size, place)
        return slot, f"SD_ROWS({place})"

    def take_context(self, each: int) -> tuple[Slot, str]:
        """A slot of so many bytes (a multiple of 4) for each token of the context, whose count is a multiple of 16."""
        place = self._pools["context"].take(each)
        slot = Slot(f"context {place}")
        self._live[slot] = ("context", each, place)
        return slot, f"SD_CONTEXT({place})"

    def give(self, slot: Slot) -> None:
        """Nothing reads the slot any more."""
        if slot in self._live:
            kind, size, place = self._live.pop(slot)
            self._pools[kind].free.append((size, place))

    def bytes(self, kind: str) -> int:
        """How large a pool is: of the context's, for each token."""
        return self._pools[kind].end
