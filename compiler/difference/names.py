"""Modules of many layers in few words: `model.layers.{0-29}.mlp.up_proj`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.|$)")


def brief(modules: Iterable[str]) -> list[str]:
    """Paths that differ in their first number alone, together."""
    found: dict[tuple[str, str], list[int]] = {}
    plain: dict[str, None] = {}
    for module in modules:
        match = _NUMBER.search(module)
        if match is None:
            plain[module or "(program)"] = None
        else:
            found.setdefault((module[: match.start()], module[match.end() :]), []).append(int(match[0]))
    return [*plain, *(head + _ranges(sorted(set(numbers))) + tail for (head, tail), numbers in found.items())]


def _ranges(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    text = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return text if len(numbers) == 1 else "{" + text + "}"
