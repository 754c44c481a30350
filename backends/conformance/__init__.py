"""Conformance: a pytest suite for any backend. A test file of five lines runs it:

    import pytest
    from my_package import MyBackend
    from sdllm.backends.conformance import *

    @pytest.fixture
    def backend(): return MyBackend()

Every test but those of refusals compares with the reference interpreter. What a backend refuses, naming op and module,
is no failure: it stands as "no" in the support matrix that ends the run. What it takes must be right.
"""

import pytest

pytest.register_assert_rewrite("sdllm.backends.conformance.bench", "sdllm.backends.conformance.suite")

from .suite import (  # noqa: E402
    bench,
    in_time,
    options,
    tell,
    test_code,
    test_decode_follows_prefill,
    test_length,
    test_model,
    test_op,
    test_same_bytes,
    test_same_outputs,
    test_sequences_of_a_batch_do_not_meet,
    test_spikes_are_counted,
    test_what_is_not_known_is_refused,
    test_what_was_emitted_is_told,
)

__all__ = [
    "bench", "in_time", "options", "tell", "test_code", "test_decode_follows_prefill", "test_length", "test_model",
    "test_op", "test_same_bytes", "test_same_outputs", "test_sequences_of_a_batch_do_not_meet",
    "test_spikes_are_counted", "test_what_is_not_known_is_refused", "test_what_was_emitted_is_told",
]  # fmt: skip
