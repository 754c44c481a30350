"""The suite that every backend passes, on C."""

import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.conformance import *  # noqa: F403
from sdllm.backends.interface import Backend


@pytest.fixture
def backend() -> Backend:
    return CBackend()
