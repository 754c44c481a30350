"""The schedule: kernel calls in order, and where threads must wait for each other between them.

All threads run the same calls. A shared value is worked out in parts, so whoever reads it waits first; a private one,
if one token is new, by every thread for itself, without waiting. With several new tokens all values are shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ...ir import Op
from .views import Slot


@dataclass
class Step:
    """One kernel call: its C lines, the ops it carries out, the memory it reads and writes, and its kind for timing."""

    ops: tuple[Op, ...]
    lines: list[str]
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    kind: str = "SD_REST"
    guard: str = ""  # an output that must be wanted
    sync: str = ""  # "" none, "many" where several tokens are new, "always"


@dataclass
class _Seen:
    read: set[Slot] = field(default_factory=set)
    written: set[Slot] = field(default_factory=set)

    def clash(self, reads: Iterable[Slot], writes: Iterable[Slot]) -> bool:
        """Whether the step reads what was written, or writes what was read or written, since the last barrier."""
        return any(s in self.written for s in reads) or any(s in self.written or s in self.read for s in writes)

    def note(self, reads: Iterable[Slot], writes: Iterable[Slot]) -> None:
        self.read.update(reads)
        self.written.update(writes)


def place_barriers(steps: list[Step]) -> None:
    """Set each step's `sync`."""
    one, many = _Seen(), _Seen()
    for step in steps:
        reads = [s for s in step.reads if not s.always]
        writes = [s for s in step.writes if not s.always]
        shared_reads = [s for s in step.reads if not s.private]
        shared_writes = [s for s in step.writes if not s.private]
        if one.clash(shared_reads, shared_writes):
            step.sync = "always"
            one, many = _Seen(), _Seen()
        elif many.clash(reads, writes):
            step.sync = "many"
            many = _Seen()
        one.note(shared_reads, shared_writes)
        many.note(reads, writes)
