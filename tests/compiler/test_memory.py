"""The most memory a process held: it grows with what is held, and is forgotten."""

from __future__ import annotations

import mmap
import sys

import pytest
from sdllm.compiler.memory import forget_peak, peak_mb


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_the_peak_is_what_was_held_since_it_was_forgotten() -> None:
    forget_peak()
    before = peak_mb()
    with mmap.mmap(-1, 100 << 20) as some:  # not by the allocator, which other tests may tell to keep what is freed
        some.write(bytes([1]) * len(some))
        held = peak_mb()
    assert held >= before + 90
    forget_peak()
    assert 0 < peak_mb() <= held - 90
