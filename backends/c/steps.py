"""The schedule: kernel calls in order. All threads run the same calls and share the items of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...ir import Op, Program


@dataclass
class Step:
    """One kernel call: its C lines, the ops it carries out, and its kind for timing. `small`: of one token it is so
    little work that one thread does it, with what stands around it."""

    ops: tuple[Op, ...]
    lines: list[str]
    kind: str = "SD_REST"
    guard: str = ""  # an output that must be wanted
    small: bool = True


# What watches and counts, besides the kernels themselves.
_ASIDE = ("sd_show", "sd_count", "sd_cost", "sd_done", "if (t->stats", " ", "}")


def became(program: Program, steps: Sequence[Step]) -> dict[str, str]:
    """What each op became, by result name: its calls in model.c, told at the first of the ops that share them."""
    place = {op.result.name: index for index, op in enumerate(program.ops)}
    found: dict[str, list[str]] = {name: [] for name in place}
    for step in steps:
        names = sorted((op.result.name for op in step.ops), key=place.__getitem__)
        calls = " ".join(line.rstrip(";") + ";" for line in step.lines if not line.startswith(_ASIDE))
        for name in names:
            found[name].append(calls if name == names[0] else f"in the call of %{names[0]}")
    return {name: " ".join(texts) or "no call: others read its operand in place" for name, texts in found.items()}
