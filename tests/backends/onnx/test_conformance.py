"""The suite that every backend passes, on ONNX: time folded into counts, and unrolled."""

from __future__ import annotations

import pytest
from sdllm.backends.conformance import *  # noqa: F403
from sdllm.backends.interface import Backend
from sdllm.backends.onnx import ONNXBackend


@pytest.fixture
def backend() -> Backend:
    return ONNXBackend()
