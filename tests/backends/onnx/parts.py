"""Masks and programs that several of these tests go through."""

from __future__ import annotations

from itertools import product as every
from typing import Any

import numpy as np
import torch
from sdllm.backends.conformance.parts import OUT, WIDTH
from sdllm.ir import OPS, Builder, Loc, Program, Segment, Spikes, Store, Tensor, WeightType

from ...ir.samples import random_value, random_weight

ACTIVATIONS = next(iter(OPS["nn.activation"].attrs.values())).words
TOKENS = ("B", "S", WIDTH)
WAYS = [
    {"causal": causal, "window": window, "softcap": softcap, "alibi": alibi}
    for causal, window, softcap, alibi in every((True, False), (0, 3), (0.0, 2.0), (False, True))
]


def masked_inputs(program: Program) -> dict[str, torch.Tensor]:
    """Random values, with one sequence whole, one padded on the left and one on the right."""
    rng = np.random.default_rng(0)
    dims = {"B": 3, "S": 7, "P": 0}
    inputs = {v.name: random_value(v.type, rng, dims) for v in program.inputs}
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[1, :2] = 0
    mask[2, 5:] = 0
    return {**inputs, "mask": mask}


def masked() -> tuple[Builder, Any]:
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    return b, b.input("mask", Tensor("i64", ("B", "P+S")))


def product(segments: tuple[Segment, ...], of: WeightType) -> tuple[Any, Store]:
    """ids and counts to membranes, sums (less zero points) and outputs."""
    b, store = Builder(), Store()
    b.input("ids", Tensor("i64", ("B", "S")))
    n = b.input("n", Spikes(segments, TOKENS))
    v = b.input("v", Tensor("f32", ("B", "S", len(segments))))
    z = b.input("z", Tensor("i32", ("B", "S", len(segments))))
    weight = b.weight(store.put("w", of, random_weight(of, 1)))
    bias = b.weight(store.put_float("b", np.linspace(-1, 1, OUT)))
    m = b.one("spike.linear", n, weights=[weight], loc=Loc("model.proj"))
    centred = b.one("spike.center", m, z, weights=[weight])
    sums = b.one("spike.sum", n, z, weights=[weight])
    extra = [sums] if "minima" in of.forms else []
    y = b.one("spike.read_out", centred, v, *extra, weights=[weight, bias])
    return b.program({"m": m, "centred": centred, "sums": sums, "y": y}), store
