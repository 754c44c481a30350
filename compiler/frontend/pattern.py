"""Patterns over FX graphs: what lowering rules are written in. A failed match says why.

Arguments are seen in full: keywords in their places, defaults filled in, axes counted from the last (-1). Arguments a
pattern does not mention must have their default value, so nothing that a node says is dropped unseen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node


class MatchFailure(Exception):
    """Why a pattern does not match, at which node, and the nodes that did match before it."""

    def __init__(self, reason: str, node: Node | None, matched: tuple[Node, ...] = ()) -> None:
        super().__init__(reason)
        self.reason, self.node, self.matched = reason, node, matched


@dataclass(frozen=True)
class Match:
    """What a pattern has bound so far, and the nodes it covers."""

    bound: Mapping[str, Any] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.bound[name]

    def bind(self, name: str, item: Any, at: Node | None) -> Match:
        """With `name` bound; a name bound already must be bound to the same."""
        if name in self.bound and self.bound[name] is not item and self.bound[name] != item:
            raise MatchFailure(f"'{name}' is not the same in both places", at, self.nodes)
        return Match({**self.bound, name: item}, self.nodes)

    def cover(self, node: Node) -> Match:
        """With one more node covered."""
        return Match(self.bound, (*self.nodes, node))


class Pattern:
    """Something an argument of an FX node may match."""

    def match(self, item: Any, so_far: Match) -> Match:
        """The match extended by `item`. Raises MatchFailure."""
        raise NotImplementedError


@dataclass(frozen=True)
class Any_(Pattern):
    """Anything; nothing is bound."""

    def match(self, item: Any, so_far: Match) -> Match:
        return so_far


@dataclass(frozen=True)
class Value(Pattern):
    """A tensor that is computed, or an input of the model."""

    name: str

    def match(self, item: Any, so_far: Match) -> Match:
        node = _node(item, f"'{self.name}' must be a tensor", so_far)
        if parameter(node) is not None:
            raise MatchFailure(f"'{self.name}' is the parameter {parameter(node)}", node, so_far.nodes)
        return so_far.bind(self.name, node, node)


@dataclass(frozen=True)
class Param(Pattern):
    """A parameter or buffer, of `axes` axes if given."""

    name: str
    axes: int | None = None

    def match(self, item: Any, so_far: Match) -> Match:
        node = _node(item, f"'{self.name}' must be a parameter", so_far)
        if parameter(node) is None:
            raise MatchFailure(f"'{self.name}' is computed, not a parameter", node, so_far.nodes)
        if self.axes is not None and len(node.meta["val"].shape) != self.axes:
            raise MatchFailure(
                f"'{self.name}' has {len(node.meta['val'].shape)} axes, not {self.axes}", node, so_far.nodes
            )
        return so_far.bind(self.name, node, node)


@dataclass(frozen=True)
class Absent(Pattern):
    """An optional argument that is not given."""

    def match(self, item: Any, so_far: Match) -> Match:
        if item is not None:
            raise MatchFailure(f"{item} is given, where nothing was expected", None, so_far.nodes)
        return so_far


@dataclass(frozen=True)
class Num(Pattern):
    """A Python number (or boolean), bound as it is."""

    name: str

    def match(self, item: Any, so_far: Match) -> Match:
        if not isinstance(item, int | float):
            raise MatchFailure(f"'{self.name}' is {item}, not a number", None, so_far.nodes)
        return so_far.bind(self.name, item, None)


@dataclass(frozen=True)
class Nums(Pattern):
    """A list of whole numbers, bound as a tuple."""

    name: str

    def match(self, item: Any, so_far: Match) -> Match:
        if not isinstance(item, list | tuple) or not all(isinstance(n, int) for n in item):
            raise MatchFailure(f"'{self.name}' is {item}, not a list of whole numbers", None, so_far.nodes)
        return so_far.bind(self.name, tuple(item), None)


@dataclass(frozen=True)
class Const(Pattern):
    """One certain number, to float32 precision, or one certain word."""

    value: float | str

    def match(self, item: Any, so_far: Match) -> Match:
        if isinstance(self.value, str) or not isinstance(item, int | float):
            same = item == self.value
        else:
            same = math.isclose(item, self.value, rel_tol=1e-6)
        if not same:
            raise MatchFailure(f"{item} stands where {self.value} was expected", None, so_far.nodes)
        return so_far


@dataclass(frozen=True)
class ListOf(Pattern):
    """A list with these elements."""

    items: tuple[Pattern, ...]

    def match(self, item: Any, so_far: Match) -> Match:
        if not isinstance(item, list | tuple) or len(item) != len(self.items):
            raise MatchFailure(f"{item} is no list of {len(self.items)}", None, so_far.nodes)
        for pattern, element in zip(self.items, item, strict=True):
            so_far = pattern.match(element, so_far)
        return so_far


@dataclass(frozen=True)
class Items(Pattern):
    """A list that is not empty, bound whole."""

    name: str

    def match(self, item: Any, so_far: Match) -> Match:
        if not isinstance(item, list | tuple) or not item:
            raise MatchFailure(f"'{self.name}' is {item}, not a list", None, so_far.nodes)
        return so_far.bind(self.name, tuple(item), None)


@dataclass(frozen=True)
class Given(Pattern):
    """A pattern that also binds a name to a value of ours."""

    pattern: Pattern
    name: str
    value: Any

    def match(self, item: Any, so_far: Match) -> Match:
        return self.pattern.match(item, so_far).bind(self.name, self.value, None)


@dataclass(frozen=True)
class OneOf(Pattern):
    """The first of several patterns that matches."""

    choices: tuple[Pattern, ...]

    def match(self, item: Any, so_far: Match) -> Match:
        closest: MatchFailure | None = None
        for pattern in self.choices:
            try:
                return pattern.match(item, so_far)
            except MatchFailure as failure:
                if closest is None or len(failure.matched) > len(closest.matched):
                    closest = failure
        assert closest is not None
        raise closest


@dataclass(frozen=True)
class Apply(Pattern):
    """A call of one of `targets` with these first arguments, the rest at their defaults unless `loose`."""

    targets: tuple[str, ...]
    args: tuple[Pattern, ...]
    commutes: bool = False
    loose: bool = False

    def match(self, item: Any, so_far: Match) -> Match:
        node = _node(item, f"must be {self.targets[0]}", so_far)
        target = str(node.target)
        if node.op != "call_function" or target not in self.targets:
            raise MatchFailure(f"is {target}, not {self.targets[0]}", node, so_far.nodes)
        args, rest = _split(node, len(self.args))
        so_far = so_far.cover(node)
        for name, value, usual in rest:
            if value != usual and not self.loose:
                raise MatchFailure(f"{target} has {name} = {value}, not {usual}", node, so_far.nodes)
        try:
            return self._in_order(args, so_far, node)
        except MatchFailure as failure:
            if not self.commutes:
                raise
            try:
                return self._in_order([args[1], args[0], *args[2:]], so_far, node)
            except MatchFailure as other:
                raise max(failure, other, key=lambda f: len(f.matched)) from None

    def _in_order(self, args: list[Any], so_far: Match, node: Node) -> Match:
        for pattern, arg in zip(self.args, args, strict=True):
            try:
                so_far = pattern.match(arg, so_far)
            except MatchFailure as failure:
                raise MatchFailure(failure.reason, failure.node or node, failure.matched) from None
        return so_far


def parameter(node: Node) -> str | None:
    """The model's name of the parameter or buffer that a placeholder stands for; None for other nodes."""
    name: str | None = node.meta.get("parameter")
    return name


def rank(node: Node) -> int:
    """How many axes a node's tensor has."""
    return len(node.meta["val"].shape)


def full_args(node: Node) -> list[tuple[str, Any, Any]]:
    """(name, value, default) of each argument of a call, axes counted from the last."""
    schema = node.target._schema if isinstance(node.target, torch._ops.OpOverload) else None
    if schema is None:
        return [(str(i), a, None) for i, a in enumerate(node.args)]
    out: list[tuple[str, Any, Any]] = []
    for i, argument in enumerate(schema.arguments):
        usual = argument.default_value if argument.has_default_value() else None
        value = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name, usual)
        out.append((argument.name, _from_last(node, argument.name, value), usual))
    return out


# Ops whose axis counts in their result, which has one axis more than their operand.
_GROWING = ("aten.unsqueeze.default", "aten.stack.default")


def _from_last(node: Node, name: str, value: Any) -> Any:
    if name not in ("dim", "dim0", "dim1") or isinstance(value, bool | None):
        return value
    first = node.args[0][0] if isinstance(node.args[0], list | tuple) else node.args[0]
    axes = rank(first) + (str(node.target) in _GROWING) if isinstance(first, Node) else 0
    if isinstance(value, list | tuple):
        return [v - axes if isinstance(v, int) and v >= 0 else v for v in value]
    return value - axes if isinstance(value, int) and value >= 0 else value


def _split(node: Node, count: int) -> tuple[list[Any], list[tuple[str, Any, Any]]]:
    every = full_args(node)
    if len(every) < count:
        raise MatchFailure(f"{node.target} has {len(every)} arguments, not {count}", node)
    return [value for _, value, _ in every[:count]], every[count:]


def _node(item: Any, otherwise: str, so_far: Match) -> Node:
    if not isinstance(item, Node):
        raise MatchFailure(f"{otherwise}, not {item}", None, so_far.nodes)
    return item


def describe(node: Node) -> str:
    """`aten.mul.Tensor at model.layers.0.mlp (modeling_llama.py:164)`."""
    where = module_path(node) or "the model itself"
    source = source_line(node)
    return f"{node.target} at {where}" + (f" ({source})" if source else "")


def module_path(node: Node) -> str:
    """The HF module a node was traced in, such as `model.layers.0.mlp`."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]) if paths else ""


def source_line(node: Node) -> str:
    """`modeling_llama.py:164`: the innermost line of a node's trace outside torch itself."""
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines()]
    frames = [line for line in lines if line.startswith("File ") and "/torch/" not in line]
    if not frames:
        return ""
    path, number, *_ = frames[-1].removeprefix("File ").split(", ")
    file = path.strip('"').rsplit("/", 1)[-1]
    return f"{file}:{number.removeprefix('line ')}"
