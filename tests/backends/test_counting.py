"""The rules of counting, on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
from sdllm.backends.counting import segment_count, total
from sdllm.backends.interface import SpikeCount
from sdllm.ir import CSD, Bits, Ramp, Segment, Ternary


def test_unary() -> None:
    found = segment_count(Segment(0, 4, Ternary(3)), np.array([[2, -3, 0, 1]]), fan_out=10, targets=10)
    assert found == SpikeCount("", "", "", 4, 6, 3, 60, updates=0, steps=(3, 2, 1))


def test_doublings_are_updates() -> None:
    # 5 = 101 and 3 = 011, most significant first; three steps double the membrane twice.
    found = segment_count(Segment(0, 2, Bits(3)), np.array([5, 3]), fan_out=4, targets=8)
    assert (found.spikes, found.steps, found.additions, found.updates) == (4, (1, 1, 2), 16, 16)


def test_signed_digits_spend_fewer_spikes() -> None:
    # 7 = 8 - 1
    assert segment_count(Segment(0, 1, CSD(4)), np.array([7]), 1, 1).steps == (1, 0, 0, 1)


def test_slopes_are_updates() -> None:
    # Base 4, one digit: three steps, a spike for 2 at the second; each step adds the slope to each of 5 cells.
    found = segment_count(Segment(0, 1, Ramp(4, 1)), np.array([2]), fan_out=5, targets=5)
    assert (found.spikes, found.steps, found.updates) == (1, (0, 1, 0), 15)


def test_totals_keep_the_longest_train() -> None:
    first = SpikeCount("7", "m", "c", 1, 2, 3, 4, 5, 6, (1, 1))
    assert total(first, SpikeCount("", "", "", 1, 1, 1, 1, 1, 1, (0, 0, 9))) == SpikeCount(
        "7", "m", "c", 2, 3, 4, 5, 6, 7, (1, 1, 9)
    )
