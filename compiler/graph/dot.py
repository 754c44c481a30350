"""A program in the DOT language: modules are clusters, those too deep are single nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ...ir import Program
from .kinds import kind
from .tree import Block, tree

_FILL = {"spikes": "#cfe3f7", "encode": "#e3f1e8", "read": "#efe6f7", "float": "#fbe3d6", "state": "#f3ecd0"}


def dot(program: Program, depth: int) -> str:
    """The text; blocks more than `depth` levels down are drawn closed."""
    root = tree(program)
    node: dict[int, str] = {}
    lines = [
        "digraph program {",
        '  graph [fontname="sans-serif", compound=true];',
        '  node [shape=box, style="rounded,filled", fillcolor="#f4f4f4", fontname="sans-serif", fontsize=11];',
        *_inside(program, root, depth, 1, node),
    ]
    maker = {r.name: i for i, op in enumerate(program.ops) for r in op.results}
    edges: dict[tuple[str, str], None] = {}
    for index, op in enumerate(program.ops):
        for operand in op.operands:
            if operand.name in maker and node[maker[operand.name]] != node[index]:
                edges[node[maker[operand.name]], node[index]] = None
    lines += [f"  {a} -> {b};" for a, b in edges]
    return "\n".join([*lines, "}"]) + "\n"


def _inside(program: Program, block: Block, depth: int, level: int, node: dict[int, str]) -> Iterator[str]:
    pad = "  " * level
    for child in block.children:
        if isinstance(child, int):
            node[child] = f"op{child}"
            op = program.ops[child]
            label = json.dumps(f"{op.name}\n{op.result.type}")
            fill = _FILL.get(kind(op))
            yield f"{pad}op{child} [label={label}" + (f', fillcolor="{fill}"];' if fill else "];")
        elif level > depth:
            name = f"block{next(child.ops())}_{level}"
            node.update(dict.fromkeys(child.ops(), name))
            label = json.dumps(f"{child.label}\n{len(list(child.ops()))} ops")
            yield f"{pad}{name} [label={label}];"
        else:
            yield f"{pad}subgraph {json.dumps('cluster ' + child.path)} {{"
            yield f"{pad}  label={json.dumps(child.label)};"
            yield from _inside(program, child, depth, level + 1, node)
            yield f"{pad}}}"
