"""Lowering: from a captured graph to a program of the IR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.fx import Graph, Node

from ...ir import Dim, Program, Store, verify
from ...ir import Tensor as IRTensor
from ..errors import InputError
from .capture import INPUTS, Captured
from .emit import Emit, numbers
from .rules import RULES
from .select import select
from .tidy import tidy


def lower(captured: Captured, store: Store | None = None) -> Program:
    """The captured model as a verified program: dense ops, states for the keys and values of causal attention.

    Weights are entered in `store` lazily, each read once for its hash. Without a store, or without weights, they
    are declared by shape alone (for looking, not running). Raises UnsupportedOp for what no rule covers.
    """
    graph = tidy(captured.exported, captured.buffers)
    read = numbers(captured.tensors, captured.buffers) if captured.tensors is not None else None
    emit = Emit(_symbols(graph), captured.masks, captured.aliases, read, store)
    outputs = _outputs(graph, captured)
    chosen = select(graph, outputs.values(), RULES)
    causal = any(rule.causal for rule in captured.masks)
    _bind_inputs(graph, emit, causal)
    for item in chosen:
        emit.at(item.node, item.match)
        emit.values[item.node] = item.rule.build(item.match, emit)
    results = {name: emit.values[node] for name, node in outputs.items()}
    return verify(emit.builder.program(results, _meta(captured, causal)))


def _symbols(graph: Graph) -> dict[str, Dim]:
    """The names torch.export gave batch and length."""
    ids = next(n for n in graph.nodes if n.op == "placeholder" and n.name == "input_ids")
    batch, length = ids.meta["val"].shape
    return {str(batch): "B", str(length): "S"}


def _bind_inputs(graph: Graph, emit: Emit, causal: bool) -> None:
    """Declare the program's inputs: always ids, positions and mask, and types where the model takes them."""
    placeholders = {INPUTS[n.name]: n for n in graph.nodes if n.op == "placeholder" and n.name in INPUTS}
    keys: Dim = "P+S" if causal else "S"
    shapes: dict[str, tuple[Dim, ...]] = {"ids": ("B", "S"), "positions": ("B", "S"), "mask": ("B", keys)}
    if "types" in placeholders:
        shapes["types"] = ("B", "S")
    for name, shape in shapes.items():
        value = emit.builder.input(name, IRTensor("i64", shape))
        if name == "mask":
            emit.mask = value
        elif name in placeholders:
            emit.values[placeholders[name]] = value


def _outputs(graph: Graph, captured: Captured) -> dict[str, Node]:
    """The graph's outputs by our names: logits, or hidden and pooled."""
    (output,) = graph.find_nodes(op="output")
    found = dict(zip(captured.outputs, output.args[0], strict=False))
    named = {name: node for name, node in found.items() if name in ("logits", "hidden", "pooled") and node is not None}
    if not named:
        raise InputError(f"{captured.architecture}: gives neither logits nor hidden states ({', '.join(found)})")
    return named


def _meta(captured: Captured, causal: bool) -> Mapping[str, Any]:
    """What a runner must know beside the ops."""
    config = captured.config
    meta = {
        "family": config.model_type,
        "architecture": captured.architecture,
        "causal": causal,
        "layers": config.num_hidden_layers,
        "max_positions": getattr(config, "max_position_embeddings", None),
    }
    if captured.rope_length is not None:
        meta["rope_length"] = captured.rope_length
        meta["max_positions"] = max(meta["max_positions"] or 0, captured.rope_length)  # what it was fixed for, it takes
    return {key: value for key, value in meta.items() if value is not None}
