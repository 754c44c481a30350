"""Matrices for floats on grids, as a quantised head has: every form and instruction set against the reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.backends.c.runner import CRunner
from sdllm.ir import Builder, GridWeight, Program, Store, Tensor, verify
from sdllm.ir.interpreter import Interpreter
from sdllm.passes.grids import round_to_nearest

from .common import emit, isas

OUT, TOKENS = 37, 7
GRIDS = [
    GridWeight(4, 32, False, (OUT, 72)),  # the last group is smaller, and so is the last run
    GridWeight(4, 64, True, (OUT, 160)),
    GridWeight(3, 8, True, (OUT, 40)),
    GridWeight(2, 72, False, (OUT, 72)),
    GridWeight(4, 24, False, (OUT, 72)),
    GridWeight(4, 6, False, (OUT, 72)),  # no nibbles: groups end within a line
    GridWeight(4, 36, True, (OUT, 36)),
    GridWeight(8, 32, False, (OUT, 72)),
]


def head(of: GridWeight, bias: bool = True) -> tuple[Program, Store]:
    """A table of inputs of very different sizes, as activations have, and one matrix on it."""
    random, store, build = np.random.default_rng(0), Store(), Builder()
    out, width = of.shape
    table = random.normal(size=(TOKENS, width)) * np.exp(random.normal(size=width) * 2)
    table[0] = 0.0
    ids = build.input("ids", Tensor("i64", ("B", "S")))
    x = build.one("nn.embed", ids, weights=[build.weight(store.put_float("table", table.astype(np.float32)))])
    parts = round_to_nearest(random.normal(size=of.shape).astype(np.float32), of)
    weights = [build.weight(store.put("matrix", of, parts))]
    if bias:
        weights.append(build.weight(store.put_float("bias", random.normal(size=out).astype(np.float32))))
    y = build.one("nn.linear", x, weights=weights)
    return verify(build.program({"logits": y}, {"causal": True})), store


@pytest.mark.parametrize("of", GRIDS, ids=str)
def test_every_form_agrees_with_the_reference_and_all_sets_with_each_other(of: GridWeight, tmp_path: Path) -> None:
    program, store = head(of)
    ids = torch.arange(TOKENS)[None]  # four tokens at a time, and the rest one by one
    want = Interpreter(program, store).run({"ids": ids})["logits"][0].numpy()
    emit(program, store, tmp_path)
    packed = "{SD_I4, " in (tmp_path / "model.c").read_text()
    assert packed == (of.bits <= 4 and of.group % 8 == 0)
    made = []
    for isa in isas(tmp_path):
        for threads in (1, 3):
            runner = CRunner(tmp_path, isa=isa, threads=threads)
            made.append(runner.run(ids.numpy())["logits"][0])
            state = runner.new_state()
            each = [runner.run(ids.numpy()[:, i : i + 1], state)["logits"][0] for i in range(TOKENS)]
            made.append(np.concatenate(each))
    for got in made:
        np.testing.assert_array_equal(got, made[0])
    # An input is off by half a step at most, 1/32512 of the largest of its run.
    table, matrix = (np.abs(store.floats(program.weights[name])) for name in ("table", "matrix"))
    most = np.outer(table.max(1), matrix.sum(1)) * (0.5 / 32512 if packed else 0)
    assert (np.abs(made[0] - want) < most + 4e-6 * (table @ matrix.T + 1)).all()


def test_nibbles_take_half_a_byte(tmp_path: Path) -> None:
    sizes = []
    for bits in (4, 8):
        of = GridWeight(bits, 32, False, (64, 1024))
        emit(*head(of), tmp_path / str(bits))
        sizes.append((tmp_path / str(bits) / "weights.bin").stat().st_size)
    assert sizes[1] - sizes[0] == 64 * 1024 // 2


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_not_hidden(odd: float, tmp_path: Path) -> None:
    program, store = head(GridWeight(4, 32, False, (OUT, 64)))
    table = store.floats(program.weights["table"]).copy()
    table[2, 5] = odd
    changed = store.put_float("table", table)
    program = replace(program, weights={**program.weights, "table": changed})
    emit(program, store, tmp_path)
    for isa in isas(tmp_path):
        got = CRunner(tmp_path, isa=isa).run(np.array([[1, 2]]))["logits"][0]
        assert np.isfinite(got[0]).all()
        assert not np.isfinite(got[1]).any()
