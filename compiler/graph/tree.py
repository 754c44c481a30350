"""Model, layers, blocks, ops: the tree of module paths, each level set out in ranks by what flows between its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import networkx as nx

from ...ir import Program


@dataclass
class Block:
    """A module. `children` are blocks, or numbers of ops, rank by rank and from left to right; those of one rank need
    not wait for each other; `edges` are pairs of positions in `children` between which a value flows."""

    label: str
    path: str
    children: list[Block | int] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    def ops(self) -> Iterator[int]:
        """Numbers of all ops in it, in the order of its parts."""
        for child in self.children:
            if isinstance(child, Block):
                yield from child.ops()
            else:
                yield child


def tree(program: Program) -> Block:
    """The whole program as a block."""
    root = Block(str(program.meta.get("architecture", "program")), "")
    for index, op in enumerate(program.ops):
        block = root
        for label, path in _steps(op.loc.module):
            inner = next((c for c in block.children if isinstance(c, Block) and c.path == path), None)
            if inner is None:
                inner = Block(label, path)
                block.children.append(inner)
            block = inner
        block.children.append(index)
    _arrange(root, _flows(program))
    return root


def _steps(module: str) -> Iterator[tuple[str, str]]:
    """`model.layers.3.mlp` as model, layers.3, mlp, each with its whole path."""
    parts = module.split(".") if module else []
    label, path = "", ""
    for index, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        label = f"{label}.{part}" if label else part
        if index + 1 == len(parts) or not parts[index + 1].isdigit():
            yield label, path
            label = ""


def _flows(program: Program) -> list[tuple[int, int]]:
    """Pairs of ops of which the second reads the first."""
    maker = {r.name: i for i, op in enumerate(program.ops) for r in op.results}
    pairs = ((maker[o.name], i) for i, op in enumerate(program.ops) for o in op.operands if o.name in maker)
    return list(dict.fromkeys(pairs))


def _arrange(block: Block, flows: list[tuple[int, int]]) -> None:
    """Edges and ranks of a block and all within it; `flows` are those between its own ops."""
    place: dict[int, int] = {}
    for position, child in enumerate(block.children):
        for op in child.ops() if isinstance(child, Block) else [child]:
            place[op] = position
    inner: dict[int, list[tuple[int, int]]] = {}
    edges: dict[tuple[int, int], None] = {}
    for a, b in flows:
        if place[a] == place[b]:
            inner.setdefault(place[a], []).append((a, b))
        else:
            edges[place[a], place[b]] = None
    for position, child in enumerate(block.children):
        if isinstance(child, Block):
            _arrange(child, inner.get(position, []))
    ranks = _ranks(len(block.children), list(edges))
    order = _order(ranks, list(edges))
    block.children = [block.children[old] for old in order]
    block.ranks = [ranks[old] for old in order]
    now = {old: new for new, old in enumerate(order)}
    block.edges = sorted((now[a], now[b]) for a, b in edges)


def _order(ranks: list[int], edges: list[tuple[int, int]]) -> list[int]:
    """Positions rank by rank; within one, each stands where on average the parts that it reads stand, so that fewer
    edges cross."""
    reads: dict[int, list[int]] = {}
    for a, b in edges:
        if ranks[a] < ranks[b]:
            reads.setdefault(b, []).append(a)
    across: dict[int, float] = {}
    found: list[int] = []
    for rank in range(max(ranks, default=-1) + 1):
        row = [p for p, r in enumerate(ranks) if r == rank]
        wish = {p: sum(across[a] for a in reads[p]) / len(reads[p]) if p in reads else 0.5 for p in row}
        row.sort(key=lambda p: (wish[p], p))
        across.update({p: (i + 0.5) / len(row) for i, p in enumerate(row)})
        found += row
    return found


def _ranks(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Each part below all it reads from. Of parts that read each other in turn (a module called twice), those that
    come later stand below those that come first."""
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(edges)
    whole = nx.condensation(graph)
    found = [0] * count
    for node in nx.topological_sort(whole):
        ring = sorted(whole.nodes[node]["members"])
        above = [found[a] for part in ring for a in graph.predecessors(part) if a not in ring]
        for part in ring:
            inner = [found[a] for a in graph.predecessors(part) if a in ring and a < part]
            found[part] = max([*above, *inner], default=-1) + 1
    return found
