"""The table: rows are models, columns are rules, both for a whole sequence and for a token of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .assumptions import Said, of_integers, of_literature, of_memory
from .dense import Model, dense_models, head_model, spiking_model
from .part import Part, joules, merged
from .traffic import LEVELS, MEMBRANES, Memory
from .work import Work

RULES = ("literature", "integers", "with memory")


@dataclass(frozen=True)
class Table:
    """Everything that the energy command says. `models` end with the spike program; `head` is in none of them."""

    work: Work
    memory: Memory
    models: tuple[Model, ...]
    head: Model | None
    assumptions: tuple[tuple[Said, ...], ...]

    @property
    def spiking(self) -> Model:
        """The row of the spike program."""
        return self.models[-1]

    def ratio(self, model: Model, column: int) -> float | None:
        """Energy of a model over that of the spike program, by one column."""
        bill, ours = model.bills[column], joules(self.spiking.bills[column] or [])
        return joules(bill) / ours if bill is not None and ours else None

    def elsewhere(self) -> tuple[Table, ...]:
        """The same work with weights and membranes in each place they may live: what column c hangs on."""
        return tuple(table(self.work, Memory(w, m)) for w in LEVELS for m in MEMBRANES)

    def as_json(self) -> dict[str, Any]:
        """The whole, as JSON-like values; joules are for the sequence."""
        work = self.work
        return {
            "model": work.name,
            "tokens": work.tokens,
            "operations": work.macs,
            "spikes": {"value": work.spikes, "from": work.spikes_from},
            "weight_bits": work.bits,
            "memory": asdict(self.memory),
            "columns": [
                {"rule": rule, "assumptions": [asdict(s) for s in said]}
                for rule, said in zip(RULES, self.assumptions, strict=True)
            ],
            "models": [self._row(m) for m in self.models],
            "head": self._row(self.head) if self.head else None,
            "elsewhere": [
                {**asdict(t.memory), "joules": {m.name: joules(m.bills[2]) for m in t.models}} for t in self.elsewhere()
            ],
            "parts": {rule: _lines(bill or []) for rule, bill in zip(RULES, self.spiking.bills, strict=True)},
            "not_counted": [asdict(u) for u in work.uncounted],
        }

    def _row(self, model: Model) -> dict[str, Any]:
        found = [None if bill is None else joules(bill) for bill in model.bills]
        return {
            "name": model.name,
            "joules": dict(zip(RULES, found, strict=True)),
            "joules_a_token": {
                r: None if j is None else j / self.work.tokens for r, j in zip(RULES, found, strict=True)
            },
            "over_spikes": {rule: self.ratio(model, i) for i, rule in enumerate(RULES)},
        }


def table(work: Work, memory: Memory) -> Table:
    """Price a work by all rules."""
    models = (*dense_models(work, memory), spiking_model(work, memory))
    said = (of_literature(work), of_integers(work), of_memory(work, memory))
    return Table(work, memory, models, head_model(work, memory), tuple(map(tuple, said)))


def brief(work: Work, memory: Memory) -> list[dict[str, Any]]:
    """A line a column, in joules a token, for metrics.json and the summary; the source is fp32."""
    whole = table(work, memory)
    source = whole.models[0]
    assumes = (
        f"arithmetic alone, {work.bits:g}-bit weights",
        "32-bit membranes, encoders and read-out",
        f"and memory: weights in {memory.weights.upper()}, membranes in {memory.membranes.upper()}",
    )
    return [
        {
            "rule": rule,
            "joules": joules(whole.spiking.bills[i] or []) / work.tokens,
            "source_joules": joules(source.bills[i] or []) / work.tokens,
            "assumes": assumes[i],
        }
        for i, rule in enumerate(RULES)
    ]


def _lines(bill: list[Part]) -> list[dict[str, Any]]:
    return [{**asdict(p), "joules": p.joules} for p in merged(bill)]
