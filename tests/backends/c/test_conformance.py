"""The suite that every backend passes, on C."""

import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.c.printers import PRINTERS
from sdllm.backends.conformance import *  # noqa: F403
from sdllm.backends.interface import Backend
from sdllm.ir import OPS


@pytest.fixture
def backend() -> Backend:
    return CBackend()


def test_every_op_but_stateful_neurons_is_taken() -> None:
    assert set(PRINTERS) == {name for name in OPS if not name.startswith("lif.")}
