"""Where values lie while a token goes through: memory that is used again once nothing reads a value any more.

Pools: private slots have a row for each token, or for each thread if one token is new; own ones a row for each thread;
shared ones a row for each token; those that grow with the context stand behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .views import Slot

MOST_THREADS = 64  # as SD_MOST_THREADS
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
        self._pools = {kind: _Pool() for kind in ("private", "own", "shared", "context")}
        self._live: dict[Slot, tuple[str, int, int]] = {}

    def take(self, row: int, *, private: bool, always: bool = False) -> tuple[Slot, str]:
        """A slot of rows of so many bytes (a multiple of 64), and its place; `always`: every thread has its own row."""
        assert row % LINE == 0
        kind = "own" if always else "private" if private else "shared"
        size = row * (max(self._tokens, MOST_THREADS) if private else self._tokens)
        place = self._pools[kind].take(size)
        slot = Slot(f"{kind} {place}", private, always)
        self._live[slot] = (kind, size, place)
        return slot, {"own": "SD_OWN", "private": "SD_PRIVATE", "shared": "SD_SHARED"}[kind] + (
            f"({place}, {row})" if private else f"({place})"
        )

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
