"""The most memory a process held: it grows with what is held, and is forgotten."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sdllm.compiler.memory import forget_peak, peak_mb


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_the_peak_is_what_was_held_since_it_was_forgotten() -> None:
    forget_peak()
    before = peak_mb()
    np.ones(100 << 17)  # 100 MiB, written to and let go
    held = peak_mb()
    assert held >= before + 50
    forget_peak()
    assert 0 < peak_mb() <= held
