"""A lowering rule: a pattern and what to build in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...ir import Value as IRValue
from .pattern import Apply, Match, OneOf, Pattern

if TYPE_CHECKING:
    from .emit import Emit

Build = Callable[[Match, "Emit"], IRValue]
Check = Callable[[Match], None]


@dataclass(frozen=True)
class Rule:
    """`build` makes the IR of a node that `pattern` matches, if `check` does not raise MatchFailure."""

    name: str
    pattern: Pattern
    build: Build
    check: Check | None
    doc: str

    @property
    def targets(self) -> frozenset[str]:
        """The calls its root may be."""
        return _roots(self.pattern)


def rule(pattern: Pattern, check: Check | None = None) -> Callable[[Build], Rule]:
    """Make a rule of a build function; its docstring says what the rule is for."""

    def make(build: Build) -> Rule:
        return Rule(build.__name__.strip("_"), pattern, build, check, build.__doc__ or "")

    return make


def _roots(pattern: Pattern) -> frozenset[str]:
    if isinstance(pattern, Apply):
        return frozenset(pattern.targets)
    if isinstance(pattern, OneOf):
        return frozenset().union(*map(_roots, pattern.choices))
    return _roots(pattern.pattern)  # type: ignore[attr-defined]
