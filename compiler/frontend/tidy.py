"""Take out of a captured graph what computes nothing, and name its leaves, so that patterns stay plain."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node
from torch.fx.node import map_arg

# Calls that hand on their first argument wherever shape and dtype stay the same.
HANDING_ON = frozenset(
    f"aten.{name}"
    for name in (
        "alias.default", "clone.default", "contiguous.default", "detach.default", "dropout.default", "expand.default",
        "lift_fresh.default", "lift_fresh_copy.default", "slice.Tensor", "to.device", "to.dtype", "to.dtype_layout",
        "type_as.default", "view.default", "_to_copy.default", "_unsafe_view.default", "reshape.default",
    )
)  # fmt: skip
NEUTRAL = {"aten.mul.Tensor": 1, "aten.div.Tensor": 1, "aten.add.Tensor": 0, "aten.sub.Tensor": 0}


def tidy(exported: ExportedProgram, buffers: Mapping[str, torch.Tensor]) -> Graph:
    """A copy of the exported graph without no-ops; placeholders of parameters carry `meta["parameter"]`.

    Buffers of one number become that number.
    """
    graph: Graph = copy.deepcopy(exported.graph)
    signature = exported.graph_signature
    leaves = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.name in leaves:
            node.meta["parameter"] = leaves[node.name]
            buffer = buffers.get(leaves[node.name])
            if buffer is not None and buffer.dim() == 0:
                _replace(node, buffer.item())
        elif node.op == "call_function":
            instead = _instead(node)
            if instead is not None:
                _replace(node, instead)
    return graph


def _replace(node: Node, value: Any) -> None:
    for user in list(node.users):
        user.args = map_arg(user.args, lambda n: value if n is node else n)
        user.kwargs = map_arg(user.kwargs, lambda n: value if n is node else n)


def _instead(node: Node) -> Node | float | None:
    """The node or number that `node` is equal to, if it computes nothing."""
    target = str(node.target)
    if target == "aten.cat.default":
        return _only_part(node)
    first = node.args[0] if node.args else None
    if isinstance(first, int | float) and target in HANDING_ON:
        return first
    if not isinstance(first, Node) or not _same(first, node):
        return None
    if target in HANDING_ON and not (target == "aten.slice.Tensor" and node.args[4:] not in ((), (1,))):
        return first
    if target in NEUTRAL and not node.kwargs and node.args[1] == NEUTRAL[target] and len(node.args) == 2:
        return first
    return None


def _only_part(node: Node) -> Node | None:
    """The part of a concatenation that has any elements, if it is only one."""
    parts = node.args[0]
    assert isinstance(parts, list | tuple)
    full = [p for p in parts if isinstance(p, Node) and 0 not in p.meta["val"].shape]
    return full[0] if len(full) == 1 and _same(full[0], node) else None


def _same(a: Node, b: Node) -> bool:
    x, y = a.meta.get("val"), b.meta.get("val")
    if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
        return False
    return x.dtype == y.dtype and [str(d) for d in x.shape] == [str(d) for d in y.shape]
