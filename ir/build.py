"""Building programs: each new op's result types come from the op table, so that what is built is well-typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .errors import IRError
from .ops import Args, complete_attrs, infer_types, lookup
from .program import NOWHERE, Loc, Op, Program, State, Value, Weight
from .types import Type


class Builder:
    """Collects ops; names values %0, %1, … unless told otherwise."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.inputs: list[Value] = []
        self.ops: list[Op] = []
        self.weights: dict[str, Weight] = {}
        self.states: dict[str, State] = {}
        self._taken = set(taken)
        self._next = 0

    def fresh(self) -> str:
        """A value name not yet used."""
        while str(self._next) in self._taken:
            self._next += 1
        name = str(self._next)
        self._taken.add(name)
        return name

    def input(self, name: str, of: Type) -> Value:
        """An input of the program."""
        self._taken.add(name)
        value = Value(name, of)
        self.inputs.append(value)
        return value

    def weight(self, weight: Weight) -> str:
        """Declare a weight and give its name."""
        known = self.weights.setdefault(weight.name, weight)
        if known != weight:
            raise IRError(f"weight @{weight.name} is declared twice, with different contents")
        return weight.name

    def state(self, name: str, of: Type) -> str:
        """Declare a state and give its name."""
        self.states[name] = State(name, of)
        return name

    def op(
        self,
        name: str,
        *operands: Value,
        weights: Iterable[str] = (),
        state: str | None = None,
        loc: Loc = NOWHERE,
        **attrs: Any,
    ) -> tuple[Value, ...]:
        """Append an op and give all its results. Raises IRError if it is ill-typed."""
        names = tuple(weights)
        args = Args(
            tuple(o.type for o in operands),
            tuple(self.weights[w].type for w in names),
            attrs,
            self.states[state].type if state is not None else None,
        )
        try:
            types = infer_types(name, args)
            full = complete_attrs(lookup(name), attrs)
        except IRError as error:
            raise IRError(f"{name} at {loc.module or '<no module>'}: {error}") from error
        results = tuple(Value(self.fresh(), t) for t in types)
        self.ops.append(Op(name, operands, results, full, names, state, loc))
        return results

    def one(self, name: str, *operands: Value, **rest: Any) -> Value:
        """Append an op with one result and give that."""
        (result,) = self.op(name, *operands, **rest)
        return result

    def program(self, outputs: Mapping[str, Value], meta: Mapping[str, Any] | None = None) -> Program:
        """The program so far."""
        return Program(
            tuple(self.inputs),
            tuple(self.ops),
            dict(outputs),
            dict(self.weights),
            dict(self.states),
            dict(meta or {}),
        )


class Rewriter(Builder):
    """Walks a program's ops in order and builds a new one; values that were replaced are followed.

    Use: for each op, `keep(op)` or build others and `replace(op.result, new)`; then `done()`.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(v.name for v in program.values())
        self.source = program
        self.inputs = list(program.inputs)
        self.weights = dict(program.weights)
        self.states = dict(program.states)
        self._map: dict[str, Value] = {}

    def now(self, value: Value) -> Value:
        """What stands for a value of the old program in the new one."""
        return self._map.get(value.name, value)

    def replace(self, old: Value, new: Value) -> None:
        """Let `new` stand for `old` from here on."""
        self._map[old.name] = new

    def keep(self, op: Op, **attrs: Any) -> tuple[Value, ...]:
        """Append an op of the old program, its operands followed, attributes changed, result types inferred anew."""
        before = len(self.ops)
        results = self.op(
            op.name,
            *(self.now(o) for o in op.operands),
            weights=op.weights,
            state=op.state,
            loc=op.loc,
            **{**op.attrs, **attrs},
        )
        kept = tuple(Value(old.name, new.type) for old, new in zip(op.results, results, strict=True))
        self.ops[before] = replace(self.ops[before], results=kept)
        for old, new in zip(op.results, kept, strict=True):
            self._map[old.name] = new
        return kept

    def set_weight(self, weight: Weight) -> str:
        """Declare a weight, in place of one of that name."""
        self.weights[weight.name] = weight
        return weight.name

    def done(self, **meta: Any) -> Program:
        """The new program, without weights and states no longer used and without ops that nothing reads."""
        outputs = {name: self.now(v) for name, v in self.source.outputs.items()}
        whole = Program(
            tuple(self.inputs),
            tuple(self.ops),
            outputs,
            self.weights,
            self.states,
            {**self.source.meta, **meta},
        )
        return whole.with_ops(_live(whole))


def _live(program: Program) -> list[Op]:
    needed = {v.name for v in program.outputs.values()}
    kept: list[Op] = []
    for op in reversed(program.ops):
        if any(r.name in needed for r in op.results):
            needed.update(o.name for o in op.operands)
            kept.append(op)
    return kept[::-1]
