"""Ops of two programs, module by module: which correspond, and what changed in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from ...ir import Op, Program
from ..journal.story import op_line

Pair = tuple[Op | None, Op | None]


@dataclass(frozen=True, slots=True)
class Change:
    """One op: its line before and after, one of them None where it went or came; `rewired` if only what it reads
    changed."""

    before: str | None
    after: str | None
    rewired: bool = False

    @property
    def kind(self) -> str:
        """`gone`, `came`, `rewired` or `changed`."""
        if self.after is None:
            return "gone"
        if self.before is None:
            return "came"
        return "rewired" if self.rewired else "changed"


@dataclass(frozen=True, slots=True)
class Group:
    """Modules in which the same changed."""

    modules: tuple[str, ...]
    changes: tuple[Change, ...]


def groups(a: Program, b: Program) -> tuple[list[Group], int]:
    """Changes by module, equal ones together, in program order; and how many ops stayed as they were."""
    pairs = {module: list(_align(mine, theirs)) for module, mine, theirs in _modules(a, b)}
    stands_for = _values(a, b, pairs)
    found: dict[tuple[Change, ...], list[str]] = {}
    same = 0
    for module, matched in pairs.items():
        changes = tuple(c for pair in matched if (c := _change(a, b, pair, stands_for)) is not None)
        same += len(matched) - len(changes)
        if changes:
            found.setdefault(changes, []).append(module)
    return [Group(tuple(modules), changes) for changes, modules in found.items()], same


def _modules(a: Program, b: Program) -> Iterator[tuple[str, list[Op], list[Op]]]:
    mine: dict[str, list[Op]] = {}
    theirs: dict[str, list[Op]] = {}
    for program, found in ((a, mine), (b, theirs)):
        for op in program.ops:
            found.setdefault(op.loc.module, []).append(op)
    for module in dict.fromkeys([*mine, *theirs]):
        yield module, mine.get(module, []), theirs.get(module, [])


def _align(mine: list[Op], theirs: list[Op]) -> Iterator[Pair]:
    """Ops that correspond, by the order of their kinds; those without a counterpart stand alone."""
    matcher = SequenceMatcher(None, [op.name for op in mine], [op.name for op in theirs], autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        if kind == "equal":
            yield from zip(mine[i:i_end], theirs[j:j_end], strict=True)
        else:
            yield from ((op, None) for op in mine[i:i_end])
            yield from ((None, op) for op in theirs[j:j_end])


def _values(a: Program, b: Program, pairs: dict[str, list[Pair]]) -> dict[str, str]:
    """Names of values of the first program to those of the second that stand for them."""
    found = {v.name: v.name for v in a.inputs if b.input(v.name) is not None}
    for matched in pairs.values():
        for mine, theirs in matched:
            if mine is not None and theirs is not None:
                found.update({x.name: y.name for x, y in zip(mine.results, theirs.results, strict=False)})
    return found


def _change(a: Program, b: Program, pair: Pair, stands_for: dict[str, str]) -> Change | None:
    mine, theirs = pair
    before = op_line(a, mine) if mine is not None else None
    after = op_line(b, theirs) if theirs is not None else None
    if before != after or mine is None or theirs is None:
        return Change(before, after)
    known = set(stands_for.values())
    moved = len(mine.operands) != len(theirs.operands) or any(
        x.name in stands_for and y.name in known and stands_for[x.name] != y.name
        for x, y in zip(mine.operands, theirs.operands, strict=False)
    )
    return Change(before, after, rewired=True) if moved or mine.state != theirs.state else None
