"""The schedule: kernel calls in order. All threads run the same calls and share the items of each."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import Op


@dataclass
class Step:
    """One kernel call: its C lines, the ops it carries out, and its kind for timing. `small`: of one token it is so
    little work that one thread does it, with what stands around it."""

    ops: tuple[Op, ...]
    lines: list[str]
    kind: str = "SD_REST"
    guard: str = ""  # an output that must be wanted
    small: bool = True
