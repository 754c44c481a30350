"""What a pass did to each module, as lines of its ops that went and came; equal lines of other layers are kept once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ...ir import Op, Program
from ...ir.ops import lookup
from ...ir.printer import print_attr

Lines = dict[str, list[str]]


def op_line(program: Program, op: Op) -> str:
    """An op without names of values and without its place, so that the same op of two layers reads the same."""
    table = lookup(op.name).attrs
    shown = {k: v for k, v in op.attrs.items() if k not in table or table[k].required or v != table[k].default}
    parts = [op.name]
    for name in op.weights:
        local = name.removeprefix(op.loc.module + ".") if op.loc.module else name
        parts.append(f"@{local} {program.weights[name].type}")
    if shown:
        parts.append("{" + ", ".join(f"{k} = {print_attr(v)}" for k, v in shown.items()) + "}")
    return " ".join([*parts, ":", ", ".join(str(r.type) for r in op.results)])


def module_lines(program: Program) -> Lines:
    """Lines of each module's ops, in program order."""
    found: Lines = {}
    for op in program.ops:
        found.setdefault(op.loc.module, []).append(op_line(program, op))
    return found


@dataclass
class Stories:
    """The lines of all passes, each once; by module `[pass, gone, came, rewritten weights]` for what it touched."""

    lines: dict[str, int] = field(default_factory=dict)
    modules: dict[str, list[list[Any]]] = field(default_factory=dict)

    def add(self, index: int, before: Program, after: Program) -> None:
        """Note what changed."""
        old, new = module_lines(before), module_lines(after)
        rewritten = _rewritten(before, after)
        for module in dict.fromkeys([*old, *new]):
            gone, came = (
                _minus(old.get(module, []), new.get(module, [])),
                _minus(new.get(module, []), old.get(module, [])),
            )
            weights = rewritten.get(module, [])
            if gone or came or weights:
                story = [index, [self._id(x) for x in gone], [self._id(x) for x in came], weights]
                self.modules.setdefault(module, []).append(story)

    def _id(self, line: str) -> int:
        return self.lines.setdefault(line, len(self.lines))


def _minus(these: list[str], those: list[str]) -> list[str]:
    """Lines of the first that the second has not, in order, each as often as it is missing."""
    left = Counter(those)
    found = []
    for line in these:
        if left[line]:
            left[line] -= 1
        else:
            found.append(line)
    return found


def _rewritten(before: Program, after: Program) -> dict[str, list[str]]:
    """By module the weights that kept their name and type but hold other numbers."""
    found: dict[str, list[str]] = {}
    for op in after.ops:
        for name in op.weights:
            old, new = before.weights.get(name), after.weights[name]
            if old is not None and old.type == new.type and old.sha256 != new.sha256:
                names = found.setdefault(op.loc.module, [])
                if name not in names:
                    names.append(name)
    return found
