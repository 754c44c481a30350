import pytest
from sdllm.backends.conformance import *  # noqa: F403
from sdllm_nir import NirBackend


@pytest.fixture
def backend():
    return NirBackend()
