"""Which keys a query sees: every way to mask, over padded batches, in the simulator and the reference."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sdllm.ir import Builder, Program, Store, Tensor, Train

from ..ir.samples import random_value
from .common import assert_same, refer, simulate

HEADS, TOKENS = 6, 7
WAYS = [
    {"causal": causal, "window": window, "softcap": softcap, "alibi": alibi}
    for causal, window, softcap, alibi in product((True, False), (0, 3), (0.0, 2.0), (False, True))
]


def inputs_of(program: Program) -> dict[str, torch.Tensor]:
    """Random values, with one sequence whole, one padded on the left and one on the right."""
    rng = np.random.default_rng(0)
    dims = {"B": 3, "S": TOKENS, "P": 0}
    inputs = {v.name: random_value(v.type, rng, dims) for v in program.inputs}
    mask = torch.ones(3, TOKENS, dtype=torch.int64)
    mask[1, :2] = 0
    mask[2, 5:] = 0
    return {**inputs, "mask": mask}


def check(builder: Builder, out: Path, **results: Any) -> None:
    program = builder.program(results)
    inputs = inputs_of(program)
    assert_same(simulate(program, Store(), out, inputs)[0], refer(program, Store(), inputs)[0])


def start() -> tuple[Builder, Any]:
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    return b, b.input("mask", Tensor("i64", ("B", "P+S")))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_attention(way: dict[str, Any], tmp_path: Path) -> None:
    b, mask = start()
    q = b.input("q", Tensor("f32", ("B", HEADS, "S", 4)))
    k, v = (b.input(name, Tensor("f32", ("B", 2, "P+S", 4))) for name in "kv")
    scores = b.input("scores", Tensor("f32", ("B", HEADS, "S", "P+S")))
    attended = b.one("nn.attend", q, k, v, mask, scale=0.5, **way)
    check(b, tmp_path, attended=attended, weights=b.one("nn.softmax", scores, mask, **way))


@pytest.mark.parametrize("causal", [True, False])
def test_binary_attention(causal: bool, tmp_path: Path) -> None:
    b, mask = start()
    q = b.input("q", Train(3, ("B", HEADS, "S", 4)))
    k = b.input("k", Train(3, ("B", 2, "P+S", 4)))
    check(b, tmp_path, common=b.one("lif.coincide", q, k, mask, causal=causal))
