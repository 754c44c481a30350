"""Two sides compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...ir import Program
from .names import brief
from .ops import Group, groups
from .sides import Side
from .weights import WeightChange, weight_changes

_LIKENESS = ("perplexity", "source_perplexity", "ratio", "kl", "agreement")
_FIRING = ("additions_per_weight", "spikes_per_activation", "firing_rate", "nonzero", "time_steps", "ace")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of both sides."""

    name: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """(after - before) / before."""
        known = self.before is not None and self.after is not None and self.before
        return (self.after - self.before) / self.before if known and self.after is not None and self.before else None


@dataclass(frozen=True)
class Difference:
    """What differs; `same` says that nothing does but names of values."""

    before: str
    after: str
    figures: tuple[Figure, ...]
    declarations: tuple[tuple[str, str | None, str | None], ...]
    """Meta entries, inputs, states and outputs that differ: what, before, after."""
    groups: tuple[Group, ...]
    same_ops: int
    weights: tuple[WeightChange, ...]
    same_weights: int
    same: bool

    def only(self, part: str) -> Difference:
        """Without the modules, and weights, whose path does not hold this."""
        chosen = [Group(tuple(m for m in g.modules if part in m), g.changes) for g in self.groups]
        weights = tuple(w for w in self.weights if part in w.name)
        return replace(self, groups=tuple(g for g in chosen if g.modules), weights=weights)

    def as_json(self) -> dict[str, Any]:
        """The whole, as JSON-like values."""
        return {
            "before": self.before,
            "after": self.after,
            "same": self.same,
            "metrics": [{**asdict(f), "change": f.change} for f in self.figures],
            "declarations": [{"what": w, "before": x, "after": y} for w, x, y in self.declarations],
            "ops": [
                {"modules": list(g.modules), "changes": [{"kind": c.kind, **asdict(c)} for c in g.changes]}
                for g in self.groups
            ],
            "same_ops": self.same_ops,
            "weights": [asdict(w) for w in self.weights],
            "same_weights": self.same_weights,
        }


def difference(a: Side, b: Side, *, numbers: bool = True) -> Difference:
    """Compare; `numbers` says whether weights are read to see how far they moved."""
    changed, same_ops = groups(a.program, b.program)
    weights, same_weights = weight_changes(a, b, numbers=numbers)
    return Difference(
        a.label,
        b.label,
        tuple(_figures(a.metrics, b.metrics)),
        tuple(_declarations(a.program, b.program)),
        tuple(changed),
        same_ops,
        tuple(weights),
        same_weights,
        _renumbered(a.program) == _renumbered(b.program),
    )


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Figure]:
    if not (a and b):
        return
    for key in _LIKENESS:
        x, y = (m.get("likeness", {}).get(key) for m in (a, b))
        if x is not None or y is not None:
            yield Figure(key.replace("_", " "), x, y)
    for kind in ("linear", "attention"):
        for key in _FIRING:
            x, y = (m.get("firing", {}).get(kind, {}).get(key) for m in (a, b))
            if x or y:
                yield Figure(f"{kind}: {key.replace('_', ' ')}", x, y)
    rules = {c["rule"]: c["joules"] for c in a.get("energy", [])}
    for column in b.get("energy", []):
        yield Figure(f"joules a token, {column['rule']}", rules.get(column["rule"]), column["joules"])


def _declarations(a: Program, b: Program) -> Iterator[tuple[str, str | None, str | None]]:
    """What is declared otherwise; states of many layers that changed alike, together."""
    for what, x, y in zip(("meta", "input", "state", "output"), _declared(a), _declared(b), strict=True):
        alike: dict[tuple[str | None, str | None], list[str]] = {}
        for name in dict.fromkeys([*x, *y]):
            if x.get(name) != y.get(name) and (what, name) != ("meta", "firing"):  # rates of encoders: a figure
                alike.setdefault((x.get(name), y.get(name)), []).append(name)
        for (before, after), names in alike.items():
            yield from ((f"{what} {name}", before, after) for name in brief(names))


def _declared(program: Program) -> tuple[dict[str, str], ...]:
    return (
        {key: str(value) for key, value in program.meta.items()},
        {v.name: str(v.type) for v in program.inputs},
        {name: str(state.type) for name, state in program.states.items()},
        {name: str(v.type) for name, v in program.outputs.items()},
    )


def _renumbered(program: Program) -> Any:
    """The program with values called by the order of their definition, and without measured rates."""
    number = {v.name: i for i, v in enumerate(program.values())}
    ops = [
        (op.name, [number[o.name] for o in op.operands], [r.type for r in op.results], dict(op.attrs), op.weights,
         op.state, op.loc)
        for op in program.ops
    ]  # fmt: skip
    meta = {key: value for key, value in program.meta.items() if key != "firing"}
    outputs = {name: number[v.name] for name, v in program.outputs.items()}
    return ops, meta, outputs, dict(program.weights), dict(program.states), [v.type for v in program.inputs]
