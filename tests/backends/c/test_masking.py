"""Which keys a query sees: every way to mask, over padded batches."""

from __future__ import annotations

from pathlib import Path

from sdllm.ir import Builder, Store, Tensor

from ..common import assert_same, refer
from ..test_masking import HEADS, TOKENS, WAYS, inputs_of
from .common import run


def test_attention(tmp_path: Path) -> None:
    """All ways in one program."""
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    mask = b.input("mask", Tensor("i64", ("B", "P+S")))
    q = b.input("q", Tensor("f32", ("B", HEADS, "S", 4)))
    k, v = (b.input(name, Tensor("f32", ("B", 2, "P+S", 4))) for name in "kv")
    scores = b.input("scores", Tensor("f32", ("B", HEADS, "S", "P+S")))
    outputs = {}
    for i, way in enumerate(WAYS):
        outputs[f"attended{i}"] = b.one("nn.attend", q, k, v, mask, scale=0.5, **way)
        outputs[f"weights{i}"] = b.one("nn.softmax", scores, mask, **way)
    program = b.program(outputs)
    inputs = inputs_of(program)
    assert inputs["ids"].shape[1] == TOKENS
    assert_same(run(program, Store(), tmp_path, inputs)[0], refer(program, Store(), inputs)[0])
