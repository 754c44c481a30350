"""The student's neurons are those of the IR, and learn by the surrogate that is documented."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.compiler.bispikclm import neurons
from sdllm.ir import Builder, Current, Tensor
from sdllm.ir.interpreter import KERNELS, Call

from ..ir.samples import LAWS

SEEDS = st.integers(0, 2**20)


@given(st.integers(1, 6), st.integers(0, 256), st.integers(1, 5000), st.sampled_from([0, 8, 12]), SEEDS)
@settings(max_examples=100, **LAWS)
def test_they_fire_as_the_ir_says(steps: int, beta: int, threshold: int, frac: int, seed: int) -> None:
    """Also where a float32 would have lost the last bits of beta·U."""
    codes = np.random.default_rng(seed).integers(-200_000, 300_000, (steps, 50)).astype(np.int32)
    b = Builder()
    b.op("lif.fire", b.input("i", Current(steps, frac, (50,))), beta=beta, threshold=threshold)
    (want,) = KERNELS["lif.fire"](Call(b.ops[0], (torch.from_numpy(codes),), (), {}, False))
    got = neurons.fire(torch.from_numpy(codes).float() * 2.0**-frac, frac, beta, threshold)
    assert torch.equal(got, want.float())


@given(st.integers(1, 4), SEEDS)
@settings(max_examples=30, **LAWS)
def test_encoders_round_as_the_ir_says(steps: int, seed: int) -> None:
    x = torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (3, 40)).astype(np.float32))
    x[0, :4] = torch.tensor([0.5, 1.5, -0.5, 2867]) / 2**12
    b = Builder()
    (held,) = b.op("lif.current", b.input("x", Tensor("f32", (3, 40))), T=steps, frac=12)
    b.op("lif.fire", held, beta=230, threshold=2867)
    value = x
    for op in b.ops:
        (value,) = KERNELS[op.name](Call(op, (value,), (), {}, False))
    assert torch.equal(neurons.encode(x, steps, 12, 230, 2867), value.float())


@given(st.integers(1, 5), SEEDS)
@settings(max_examples=30, **LAWS)
def test_gradient_is_that_of_the_surrogate(steps: int, seed: int) -> None:
    """Against autograd through the recurrence with an arctan in the place of the step, reset detached."""
    rng = np.random.default_rng(seed)
    current = torch.from_numpy(np.round(rng.normal(0.3, 0.6, (steps, 20)) * 256) / 256).double().requires_grad_()
    weight = torch.from_numpy(rng.normal(size=(steps, 20)))
    threshold, leak = 179, 1.0  # no leak: nothing is rounded
    potential, spike, loss = torch.zeros(20, dtype=torch.float64), torch.zeros(20, dtype=torch.float64), 0.0
    for t in range(steps):
        potential = current[t] + leak * potential - spike * threshold / 256
        x = (potential * 256 - threshold) / threshold
        spike = (x >= 0).double()
        smooth = torch.atan(math.pi / 2 * neurons.ALPHA * x) / math.pi
        loss = loss + (weight[t] * smooth * threshold / 256).sum()  # d smooth / dU is the surrogate over the threshold
    loss.backward()
    want, current.grad = current.grad, None
    got = neurons.fire(current.float(), 8, 256, threshold)
    (got * weight.float()).sum().backward()
    torch.testing.assert_close(current.grad, want, rtol=1e-4, atol=1e-5)


def test_weights_are_rounded_to_int16_and_their_gradient_passes() -> None:
    weight = torch.tensor([[0.1, 9.0, -9.0]], requires_grad=True)
    current = neurons.linear(torch.eye(3)[None], weight, None, 12)[0, :, 0]
    assert torch.equal(current * 2**12, torch.tensor([410.0, 2**15 - 1, -(2**15)]))
    current.sum().backward()
    assert torch.equal(weight.grad, torch.ones(1, 3))
