"""Emitting and running programs as ONNX in tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from sdllm.backends.interface import SpikeCount
from sdllm.backends.onnx import ONNXBackend
from sdllm.backends.onnx.runner import MODEL, ONNXRunner
from sdllm.ir import Program, Store

EXACT: dict[str, dict[str, str]] = {"folded": {}, "unrolled": {"steps": "unrolled"}}


def emit(program: Program, store: Store, out: Path, **options: str) -> Path:
    """The emitted folder, its model checked: operators, single assignment, and every shape and dtype inferred."""
    backend = ONNXBackend()
    assert backend.supports(program) == []
    backend.emit(program, store, out, options)
    onnx.checker.check_model(str(out / MODEL), full_check=True)
    return out


def run(
    program: Program, store: Store, out: Path, inputs: Mapping[str, Any], **options: str
) -> tuple[Any, list[SpikeCount]]:
    """Outputs of the emitted program for torch inputs by name, and what it counted."""
    runner = ONNXRunner(emit(program, store, out, **options))
    outputs = runner.forward({name: value.numpy() for name, value in inputs.items()})
    return outputs, list(runner.stats().counts)


def operators(out: Path) -> set[tuple[str, str]]:
    """Domain and type of every node, in the graph and in its functions."""
    model = onnx.load(out / MODEL, load_external_data=False)
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    return {(node.domain, node.op_type) for node in nodes}
