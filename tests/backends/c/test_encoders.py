"""Clipped encoders: the magnitude of a rank is found without sorting, on every instruction set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.backends.c.runner import CRunner
from sdllm.ir import Builder, Program, Store, Tensor, Ternary

from ..common import refer
from .common import emit, isas

WIDTH = 37


def encoder(clip: str, quantile: float) -> Program:
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    x = b.input("x", Tensor("f32", ("B", "S", WIDTH)))
    n, v = b.op("spike.encode", x, code=Ternary(7), clip=clip, quantile=quantile, order="clip_first")
    return b.program({"n": n, "v": v})


@pytest.mark.parametrize("quantile", [0.02, 0.3, 0.5, 0.97])
@pytest.mark.parametrize("clip", ["hard", "soft"])
def test_what_is_clipped(clip: str, quantile: float, tmp_path: Path) -> None:
    """Rows of many sizes, of few magnitudes, of one, of zeros of both signs, and of subnormal numbers."""
    program, rng = encoder(clip, quantile), np.random.default_rng(0)
    rows = [
        rng.normal(size=WIDTH) * 10.0 ** rng.integers(-9, 9, WIDTH),
        rng.integers(-3, 4, WIDTH) / 4,
        np.full(WIDTH, -2.5),
        np.where(np.arange(WIDTH) % 2, 0.0, -0.0),
        rng.normal(size=WIDTH) * 1e-40,
    ]
    x = np.array(rows, dtype=np.float32)[None]
    inputs = {"ids": torch.zeros(x.shape[:2], dtype=torch.int64), "x": torch.from_numpy(x)}
    want, _ = refer(program, Store(), inputs)
    folder = emit(program, Store(), tmp_path)
    for isa in isas(folder):
        got = CRunner(folder, isa=isa).forward({name: value.numpy() for name, value in inputs.items()})
        for name, expected in want.items():
            np.testing.assert_array_equal(got[name], np.asarray(expected), err_msg=f"{name} by {isa}")
