"""Emitting, loading and comparing programs in tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sdllm.backends.counting import DRIVEN, blank_counts, count_op, total
from sdllm.backends.interface import Runner, SpikeCount
from sdllm.backends.simulator import SimulatorBackend
from sdllm.backends.simulator.runner import SimulatorRunner
from sdllm.ir import Program, Store
from sdllm.ir.interpreter import Interpreter

Arrays = Mapping[str, Any]


def simulate(program: Program, store: Store, out: Path, inputs: Arrays) -> tuple[Arrays, list[SpikeCount]]:
    """Outputs of the emitted program for torch inputs by name, and what it counted."""
    backend = SimulatorBackend()
    assert backend.supports(program) == []
    backend.emit(program, store, out, {})
    runner = SimulatorRunner(out)
    outputs = runner.model.forward({name: value.numpy() for name, value in inputs.items()})
    return outputs, list(runner.stats().counts)


def refer(program: Program, store: Store, inputs: Arrays, *, in_time: bool = False) -> tuple[Arrays, list[SpikeCount]]:
    """The same by the reference interpreter and the rules of counting."""
    counts = blank_counts(program)

    def watch(op, operands, results) -> None:
        if op.name in DRIVEN:
            made = count_op(program, op, tuple(o.numpy() for o in operands))
            counts[op.result.name] = total(counts[op.result.name], made)

    outputs = Interpreter(program, store, in_time=in_time).run(inputs, watch=watch)
    return {name: value.numpy() for name, value in outputs.items()}, list(counts.values())


def assert_same(got: Arrays, want: Arrays) -> None:
    """Integers exactly; floats within float32 error."""
    assert got.keys() == want.keys()
    for name, expected in want.items():
        assert (got[name].dtype, got[name].shape) == (expected.dtype, expected.shape), name
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(got[name], expected, rtol=2e-5, atol=2e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(got[name], expected, err_msg=name)


def emitted(backend: Any, program: Program, store: Store, out: Path) -> Runner:
    """Emit and load."""
    backend.emit(program, store, out, {})
    return backend.load(out)
