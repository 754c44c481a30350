"""What a program's graph says: its longest chain of work, who is read most, how much memory its order needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from ...ir import OPS, Current, Ints, Membrane, Program, Spikes, Tensor, Train, Type
from ...ir.ops.table import count
from ..coverage import args_of

_BYTES = {"f32": 4, "i32": 4, "i64": 8, "bool": 1}
_COUNT_BYTES = 2


@dataclass(frozen=True, slots=True)
class Analysis:
    """Of one call of a program on some tokens.

    `critical` are the ops of the longest chain, by operations (multiply-adds and elementwise), which no parallel
    machine can shorten; `chain` its operations and `total` those of all ops. `fan_out` has values by how many ops read
    them, most first. `memory` are the bytes of values alive while each op runs, in the program's own order; weights and
    states are not among them.
    """

    tokens: int
    critical: tuple[int, ...]
    chain: int
    total: int
    fan_out: tuple[tuple[str, int], ...]
    memory: tuple[int, ...]

    @property
    def peak(self) -> int:
        """The op at which most bytes are alive."""
        return max(range(len(self.memory)), key=self.memory.__getitem__)


def analyse(program: Program, tokens: int = 128) -> Analysis:
    """Look at a prefill of one sequence of so many tokens."""
    dims = {"B": 1, "S": tokens, "P": 0}
    work = []
    for op in program.ops:
        cost = OPS[op.name].cost(args_of(program, op), tuple(r.type for r in op.results), dims)
        work.append(cost.macs + cost.elementwise)
    graph = dataflow(program)
    critical = _heaviest(graph, work)
    readers = sorted(((name, len(ops)) for name, ops in program.users().items()), key=lambda x: -x[1])
    return Analysis(
        tokens,
        tuple(critical),
        sum(work[i] for i in critical),
        sum(work),
        tuple(readers),
        tuple(_alive(program, dims)),
    )


def dataflow(program: Program) -> nx.DiGraph:
    """Ops by number, an edge from each to those that read it."""
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(range(len(program.ops)))
    maker = {r.name: i for i, op in enumerate(program.ops) for r in op.results}
    graph.add_edges_from((maker[o.name], i) for i, op in enumerate(program.ops) for o in op.operands if o.name in maker)
    return graph


def _heaviest(graph: nx.DiGraph, work: list[int]) -> list[int]:
    """The path with most work. networkx weighs edges, so each carries the work of the op it leads to, and one more
    node before all others the first op's."""
    if not work:
        return []
    weighted: nx.DiGraph = nx.DiGraph()
    weighted.add_weighted_edges_from((a, b, work[b]) for a, b in graph.edges)
    weighted.add_weighted_edges_from((-1, n, work[n]) for n in graph.nodes if graph.in_degree(n) == 0)
    return [int(n) for n in nx.dag_longest_path(weighted)[1:]]


def _alive(program: Program, dims: Mapping[str, int]) -> list[int]:
    last = {v.name: len(program.ops) for v in program.outputs.values()}
    for index, op in reversed(list(enumerate(program.ops))):
        for value in (*op.operands, *op.results):
            last.setdefault(value.name, index)
    ends: dict[int, int] = {}
    alive = 0
    for value in program.inputs:
        alive += size_in_bytes(value.type, dims)
        ends[last.get(value.name, -1)] = ends.get(last.get(value.name, -1), 0) + size_in_bytes(value.type, dims)
    found = []
    for index, op in enumerate(program.ops):
        for result in op.results:
            each = size_in_bytes(result.type, dims)
            alive += each
            ends[last[result.name]] = ends.get(last[result.name], 0) + each
        found.append(alive)
        alive -= ends.get(index, 0)
    return found


def size_in_bytes(of: Type, dims: Mapping[str, int]) -> int:
    """Bytes of a value: counts of spikes in 16 bits, membranes in 32, trains a bit a step."""
    numbers = count(of.shape, dims)
    if isinstance(of, Tensor):
        return numbers * _BYTES[of.dtype]
    if isinstance(of, Spikes):
        return numbers * _COUNT_BYTES
    if isinstance(of, Ints):
        return math.ceil(numbers * of.bits / 8)
    if isinstance(of, Membrane):
        return numbers * of.planes * 4
    if isinstance(of, Train):
        return math.ceil(numbers * of.steps / 8)
    assert isinstance(of, Current)
    return numbers * of.steps * 4
