"""The interpreter's table look-up is torch's binary search."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sdllm.ir.codes import CSD, Code, DigitRamp, Ramp
from sdllm.ir.interpreter.spikes import bucket


@given(
    st.sampled_from([CSD(12), CSD(3), DigitRamp(6, 4, 10), DigitRamp(8, 6, 32), Ramp(16, 2)]),
    st.sampled_from([0.001, 0.3, 1.0, 4.0]),
    st.integers(0, 2**32 - 1),
)
def test_bucket_is_bucketize(code: Code, price: float, seed: int) -> None:
    edges = torch.from_numpy(code.priced(code.hi, price)[0])
    draw = np.random.default_rng(seed).standard_normal((3, 50)).astype(np.float32) * code.hi
    beside = torch.cat((edges, torch.nextafter(edges, torch.tensor(torch.inf)), edges * 10))
    for u in (torch.from_numpy(draw), beside, torch.tensor([torch.inf, -torch.inf, 0.0])):
        assert torch.equal(bucket(u, edges), torch.bucketize(u, edges))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=0, max_size=40, unique=True), st.integers(0, 2**32 - 1))
def test_any_edges(values: list[float], seed: int) -> None:
    edges = torch.tensor(sorted(values))
    u = torch.from_numpy(np.random.default_rng(seed).standard_normal(200).astype(np.float32) * 1e4)
    u = torch.cat((u, edges))
    assert torch.equal(bucket(u, edges), torch.bucketize(u, edges))
