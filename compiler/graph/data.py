"""A program as the page's script walks it: ops, types, modules and weights, each once and then by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backends.counting import DRIVEN
from ...ir import Op, Program, Store, Weight
from ...ir.printer import print_attr
from .analysis import Analysis
from .kinds import kind
from .tree import Block, tree

_FIRING = ("code", "spikes_per_activation", "firing_rate", "nonzero", "additions_per_weight", "gamma", "saturated")


class _Names:
    """Texts by number."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))


def graph_data(
    program: Program, store: Store | None, measured: Sequence[Mapping[str, Any]], analysis: Analysis
) -> dict[str, Any]:
    """Everything that a click shows. `measured` are the lines of metrics.json, in program order; may be empty."""
    texts, number = _Names(), {name: i for i, name in enumerate(program.weights)}
    maker = {r.name: i for i, op in enumerate(program.ops) for r in op.results}
    driven = [i for i, op in enumerate(program.ops) if op.name in DRIVEN]
    return {
        "ops": [_op(op, texts, number, maker) for op in program.ops],
        "tree": _tree(tree(program)),
        "texts": list(texts.texts),
        "inputs": {v.name: str(v.type) for v in program.inputs},
        "weights": [_weight(w, store) for w in program.weights.values()],
        "spikes": {
            i: {key: line[key] for key in _FIRING if line.get(key) is not None}
            for i, line in zip(driven, measured, strict=False)
        },
        "critical": list(analysis.critical),
    }


def _op(op: Op, texts: _Names, weights: Mapping[str, int], maker: Mapping[str, int]) -> list[Any]:
    attrs = ", ".join(f"{k} = {print_attr(v)}" for k, v in op.attrs.items())
    return [
        texts(op.name),
        kind(op),
        [[r.name, texts(str(r.type))] for r in op.results],
        [[o.name, maker.get(o.name, -1)] for o in op.operands],
        [weights[w] for w in op.weights],
        texts(attrs),
        texts(op.loc.module),
        [texts(s) for s in op.loc.sources],
        op.state or "",
    ]


def _tree(block: Block) -> list[Any]:
    children = [_tree(c) if isinstance(c, Block) else c for c in block.children]
    return [block.label, block.path, children, block.ranks, block.edges]


def _weight(weight: Weight, store: Store | None) -> list[Any]:
    if store is None:
        return [weight.name, str(weight.type), weight.sha256[:16], None]
    x = store.floats(weight)
    if not x.size:
        return [weight.name, str(weight.type), weight.sha256[:16], None]
    figures = [float(x.min()), float(x.max()), float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))]
    figures.append(float(np.count_nonzero(x == 0)) / x.size)
    return [weight.name, str(weight.type), weight.sha256[:16], [float(f"{v:.4g}") for v in figures]]
