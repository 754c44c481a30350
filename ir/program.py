"""Programs: inputs, states, weights by name and hash, a list of ops in order, outputs. All immutable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .types import Type, WeightType


@dataclass(frozen=True, slots=True)
class Loc:
    """Where an op comes from: HF module path, and `file:line` of each source line fused into it."""

    module: str
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "loc(" + json.dumps([self.module, *self.sources])[1:-1] + ")"


NOWHERE = Loc("")


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA value: `%name`, with its type."""

    name: str
    type: Type

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight's name, type and sha256; the numbers live in a store (ir.store), under that hash."""

    name: str
    type: WeightType
    sha256: str


@dataclass(frozen=True, slots=True)
class State:
    """What outlives a call: a value whose axis `P` grows by `S` each time."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: `%results = name %operands @weights @state {attrs} : types loc(…)`."""

    name: str
    operands: tuple[Value, ...]
    results: tuple[Value, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    state: str | None = None
    loc: Loc = NOWHERE

    @property
    def result(self) -> Value:
        """The only, or first, result."""
        return self.results[0]


@dataclass(frozen=True)
class Program:
    """A whole program. `meta` is JSON-like: family, and what a runner must know (such as `causal`)."""

    inputs: tuple[Value, ...]
    ops: tuple[Op, ...]
    outputs: Mapping[str, Value]
    weights: Mapping[str, Weight] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> Iterator[Value]:
        """All values, inputs first, in order of definition."""
        yield from self.inputs
        for op in self.ops:
            yield from op.results

    def users(self) -> dict[str, list[Op]]:
        """Value name to the ops that read it."""
        found: dict[str, list[Op]] = {v.name: [] for v in self.values()}
        for op in self.ops:
            for operand in dict.fromkeys(o.name for o in op.operands):
                found[operand].append(op)
        return found

    def producers(self) -> dict[str, Op]:
        """Value name to the op that makes it (inputs have none)."""
        return {r.name: op for op in self.ops for r in op.results}

    def weight_users(self) -> dict[str, list[Op]]:
        """Weight name to the ops that use it."""
        found: dict[str, list[Op]] = {name: [] for name in self.weights}
        for op in self.ops:
            for name in dict.fromkeys(op.weights):
                found[name].append(op)
        return found

    def with_ops(self, ops: tuple[Op, ...] | list[Op]) -> Program:
        """The same program with other ops, without the weights and states that they no longer name."""
        used = {name for op in ops for name in op.weights}
        states = {op.state for op in ops}
        return replace(
            self,
            ops=tuple(ops),
            weights={k: w for k, w in self.weights.items() if k in used},
            states={k: s for k, s in self.states.items() if k in states},
        )

    def input(self, name: str) -> Value | None:
        """The input of that name, if there is one."""
        return next((v for v in self.inputs if v.name == name), None)
