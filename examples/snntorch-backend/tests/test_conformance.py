import pytest
from sdllm.backends.conformance import *  # noqa: F403
from sdllm_snntorch import SnnTorchBackend


@pytest.fixture
def backend():
    return SnnTorchBackend()
