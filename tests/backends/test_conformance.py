"""The suite that every backend passes, on the reference and the simulator, and what the suite itself must have."""

from __future__ import annotations

import pytest
from sdllm.backends.conformance import *  # noqa: F403
from sdllm.backends.conformance.ops import PARTS
from sdllm.backends.conformance.parts import SIGNED, UNSIGNED
from sdllm.backends.conformance.probe import Probe
from sdllm.backends.interface import Backend
from sdllm.backends.reference import ReferenceBackend
from sdllm.backends.simulator import SimulatorBackend
from sdllm.backends.simulator.printers import PRINTERS
from sdllm.ir import CODES, OPS


@pytest.fixture(params=[ReferenceBackend(), SimulatorBackend()], ids=lambda b: b.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    made: Backend = request.param
    return made


@pytest.fixture
def in_time(backend: Backend) -> bool:
    """The reference backend, which counts, against the interpreter in the time domain."""
    return backend.name == "reference"


def test_every_op_is_tried() -> None:
    assert set(PARTS) == set(OPS)
    for name, parts in PARTS.items():
        for part in parts:
            probe = Probe()
            part(probe)
            assert any(op.name == name for op in probe.finish().ops), name


def test_every_code_is_tried() -> None:
    assert {type(code) for code in SIGNED + UNSIGNED} == set(CODES.values())


def test_the_simulator_takes_every_op() -> None:
    assert set(PRINTERS) == set(OPS)
