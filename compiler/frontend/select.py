"""Selection: which rule lowers which node, from the outputs backwards, the largest pattern first.

Nodes inside a matched pattern are not lowered unless something else needs them, so masks and tables that patterns
swallow simply disappear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch.fx import Graph, Node

from .errors import UnsupportedOp
from .pattern import Match, MatchFailure, describe, parameter
from .rule import Rule


@dataclass(frozen=True)
class Chosen:
    """A node with the rule that lowers it."""

    node: Node
    rule: Rule
    match: Match


@dataclass(frozen=True)
class Miss:
    """A rule that was tried in vain."""

    rule: Rule
    root: Node
    failure: MatchFailure


def select(graph: Graph, outputs: Iterable[Node], rules: Sequence[Rule]) -> list[Chosen]:
    """What to build, in order. Raises UnsupportedOp for a needed node that no rule matches."""
    needed = set(outputs)
    misses: list[Miss] = []
    chosen: list[Chosen] = []
    for node in reversed(list(graph.nodes)):
        if node not in needed or node.op == "placeholder":
            continue
        found = _choose(node, rules, misses)
        if found is None:
            raise UnsupportedOp(_complaint(node, misses, chosen))
        chosen.append(found)
        needed.update(_operands(found))
    return chosen[::-1]


def _choose(node: Node, rules: Sequence[Rule], misses: list[Miss]) -> Chosen | None:
    for rule in rules:
        if str(node.target) not in rule.targets:
            continue
        try:
            match = rule.pattern.match(node, Match())
            if rule.check is not None:
                rule.check(match)
            return Chosen(node, rule, match)
        except MatchFailure as failure:
            misses.append(Miss(rule, node, failure))
    return None


def _operands(chosen: Chosen) -> list[Node]:
    found: list[Node] = []
    for item in chosen.match.bound.values():
        parts = item if isinstance(item, list | tuple) else [item]
        found += [n for n in parts if isinstance(n, Node) and parameter(n) is None]
    return found


def _complaint(node: Node, misses: Sequence[Miss], chosen: Sequence[Chosen]) -> str:
    """What was met, and the rule that came closest: the longest match, among nodes that need this one, that had to
    give way to a smaller rule."""
    text = f"no rule lowers {describe(node)}"
    taken = {c.node: len(c.match.nodes) for c in chosen}
    users = _needing(node)
    near = [m for m in misses if m.root in users and len(m.failure.matched) > taken.get(m.root, 0)]
    if not near:
        return text
    best = max(near, key=lambda m: (node in m.failure.matched, len(m.failure.matched)))
    at = f" at {describe(best.failure.node)}" if best.failure.node is not None else ""
    return f"{text}; closest is rule '{best.rule.name}': {best.failure.reason}{at}"


def _needing(node: Node) -> set[Node]:
    """A node and all that is computed from it."""
    found, waiting = {node}, [node]
    while waiting:
        fresh = [u for u in waiting.pop().users if u not in found]
        found.update(fresh)
        waiting += fresh
    return found
