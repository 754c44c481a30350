"""Small whole decoders: C against the reference, every instruction set, threads, decoding, padding, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.c.runner import CRunner
from sdllm.backends.interface import Writing
from sdllm.backends.reference import ReferenceBackend
from sdllm.ir import CSD, Binary, Bits, Builder, DigitRamp, Program, Store, Tensor

from ...toys import toy_decoder
from ..common import emitted
from ..test_whole_models import MODELS, assert_close, ids_of
from .common import emit, isas

ALL: dict[str, dict[str, Any]] = {
    **MODELS,
    "seven bits with minima": {"code": CSD(4), "bits": 7, "minimum": True, "group": 5},
    "digit ramp": {"code": DigitRamp(6, 4, 10), "group": 8},
    "wide counts": {"code": Binary(200), "grid": "offset"},
    "attention as one call": {"code": CSD(4), "spiked_attention": True, "folded": True},
    "bits": {"code": Bits(6), "grid": "asymmetric", "spiked_attention": True},
}


@pytest.fixture(scope="module", params=ALL)
def model(request: pytest.FixtureRequest) -> tuple[Program, Store]:
    return toy_decoder(**ALL[request.param])


def last_logits(runner: CRunner, ids: Any) -> Any:
    return runner.run(ids)["logits"]


def test_same_logits_and_counts_as_the_reference(model: tuple[Program, Store], tmp_path: Path) -> None:
    reference = emitted(ReferenceBackend(), *model, tmp_path / "reference")
    folder = emit(*model, tmp_path / "c")
    runners = [CRunner(folder, isa=isa, threads=threads) for isa in isas(folder) for threads in (1, 3)]
    ids = ids_of(2, 6)
    states = [reference.new_state(2), *(r.new_state(2) for r in runners)]
    for part in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        want = reference.run(part, states[0])["logits"]
        made = [r.run(part, s)["logits"] for r, s in zip(runners, states[1:], strict=True)]
        assert_close(made[0], want)
        for other in made[1:]:
            np.testing.assert_array_equal(other, made[0])
    for runner in runners:
        assert runner.stats() == reference.stats()


@pytest.mark.parametrize("options", [{"fuse": "false"}, {"kernels": "add"}, {"kernels": "event"}], ids=str)
def test_every_way_gives_the_same(model: tuple[Program, Store], options: dict[str, str], tmp_path: Path) -> None:
    ids = ids_of(1, 7)
    want = last_logits(CRunner(emit(*model, tmp_path / "usual")), ids)
    for threads in (1, 2):
        got = last_logits(CRunner(emit(*model, tmp_path / "other", **options), threads=threads), ids)
        if "kernels" in options:  # the same integers, and the same floats after them
            np.testing.assert_array_equal(got, want)
        else:
            assert_close(got, want)


def test_decode_follows_prefill_and_the_c_api(model: tuple[Program, Store], tmp_path: Path) -> None:
    runner = CRunner(emit(*model, tmp_path), threads=2)
    ids = ids_of(1, 7)
    whole = runner.run(ids, runner.new_state())["logits"]
    state = runner.new_state()
    steps = [runner.run(ids[:, i : i + 1], state)["logits"] for i in range(7)]
    np.testing.assert_array_equal(np.concatenate(steps, axis=1), whole)
    np.testing.assert_array_equal(runner.prefill(ids[0, :4]), whole[0, 3])
    np.testing.assert_array_equal(runner.step(int(ids[0, 4])), whole[0, 4])
    runner.reset()
    np.testing.assert_array_equal(runner.prefill(ids[0]), whole[0, 6])


def test_writing_counts_only_when_it_is_to(model: tuple[Program, Store], tmp_path: Path) -> None:
    folder = emit(*model, tmp_path)
    once, writing = CRunner(folder), CRunner(folder)
    ids = ids_of(1, 7)
    state = once.new_state()
    for part in (ids[:, :4], ids[:, 4:5]):
        once.run(part, state)
    assert isinstance(writing, Writing)
    assert writing.context == 16
    for writing.counting in (False, True):
        assert writing.stats().tokens == sum(c.values for c in writing.stats().counts) == 0
        writing.reset()
        writing.prefill(ids[0, :4])
        writing.step(int(ids[0, 4]))
    assert writing.stats() == once.stats()
    assert once.stats().tokens == 5


def test_long_prompts_go_in_parts(tmp_path: Path) -> None:
    """More tokens than go through at once."""
    program, store = toy_decoder(spiked_attention=True)
    ids = ids_of(1, 150)
    runner = CRunner(emit(program, store, tmp_path / "c", context="200"), threads=2)
    reference = emitted(ReferenceBackend(), program, store, tmp_path / "reference")
    want = reference.run(ids)["logits"]
    assert_close(runner.run(ids)["logits"], want)
    assert_close(runner.prefill(ids[0]), want[0, -1])


def test_two_models_live_side_by_side(tmp_path: Path) -> None:
    runners = [CRunner(emit(*toy_decoder(1, seed=seed), tmp_path / str(seed))) for seed in (0, 1)]
    ids = ids_of(1, 4)
    first, second = (r.run(ids)["logits"] for r in runners)
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(runners[0].run(ids)["logits"], first)
    assert [r.stats().tokens for r in runners] == [8, 4]


def test_half_floats_are_the_same_everywhere(tmp_path: Path) -> None:
    program, store = toy_decoder(1)
    folder = emit(program, store, tmp_path / "half", floats="f16")
    ids = ids_of(1, 6)
    first, *others = [CRunner(folder, isa=isa).run(ids)["logits"] for isa in isas(folder)]
    for other in others:
        np.testing.assert_array_equal(other, first)
    whole = CRunner(emit(program, store, tmp_path / "whole")).run(ids)["logits"]
    assert 0 < np.abs(first - whole).max() < 0.02


def test_numbers_beyond_half_floats_are_refused(tmp_path: Path) -> None:
    b, store = Builder(), Store()
    table = b.weight(store.put_float("table", np.full((3, 2), 7e4, dtype=np.float32)))
    x = b.one("nn.embed", b.input("ids", Tensor("i64", ("B", "S"))), weights=[table])
    program = b.program({"hidden": x}, {"causal": False})
    with pytest.raises(Exception, match="@table has numbers too large for float16: emit it with floats=f32"):
        emit(program, store, tmp_path, floats="f16")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit(*toy_decoder(1), tmp_path_factory.mktemp("small"))


def test_what_does_not_fit_the_context_is_refused(small: Path) -> None:
    runner = CRunner(small)
    with pytest.raises(Exception, match="the prompt is longer than the context of 16 tokens"):
        runner.run(ids_of(1, 17))
    state = runner.new_state()
    runner.run(ids_of(1, 15), state)
    runner.run(ids_of(1, 1), state)
    with pytest.raises(Exception, match="the context is full: there is room for 0 tokens more"):
        runner.run(ids_of(1, 1), state)
    assert state.past == 16


def test_a_wrong_call_is_refused(small: Path) -> None:
    with pytest.raises(Exception, match="token id 37 is outside the vocabulary"):
        CRunner(small).run(np.array([[1, 37]]))
    with pytest.raises(Exception, match=r"mask has shape \(1, 2\)"):
        CRunner(small).run(ids_of(1, 3), mask=np.ones((1, 2), dtype=np.int64))
    with pytest.raises(Exception, match="this processor has no abacus"):
        CRunner(small, isa="abacus")
    with pytest.raises(Exception, match="threads: 1 to 64, not 65"):
        CRunner(small, threads=65)
    with pytest.raises(Exception, match="only if it runs on one thread"):
        CRunner(small, threads=2).trace(lambda name, values: None)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"fast": "1"}, "the c backend has no option 'fast'"),
        ({"kernels": "quick"}, "kernels must be one of auto, dense, event, add, not 'quick'"),
        ({"context": "-1"}, "context must be a positive number"),
    ],
    ids=str,
)
def test_options(option: dict[str, str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=reason):
        CBackend().emit(*toy_decoder(1), tmp_path, option)


def test_a_context_beyond_the_models_positions_is_refused(tmp_path: Path) -> None:
    program, store = toy_decoder(1)
    short = Program(program.inputs, program.ops, program.outputs, program.weights, program.states, {"max_positions": 8})
    with pytest.raises(Exception, match="context 9: the model has positions for 8 tokens"):
        CBackend().emit(short, store, tmp_path, {"context": "9"})


def test_a_pooler_sees_one_token(tmp_path: Path) -> None:
    """An encoder's first token through a matrix and a function: a value without an axis of tokens."""
    b, store = Builder(), Store()
    ids = b.input("ids", Tensor("i64", ("B", "S")))
    rng = np.random.default_rng(0)
    table, matrix, bias = (
        b.weight(store.put_float(name, rng.standard_normal(shape)))
        for name, shape in (("table", (9, 6)), ("pool", (21, 6)), ("bias", (21,)))
    )
    x = b.one("nn.embed", ids, weights=[table])
    first = b.one("nn.reshape", b.one("nn.slice", x, axis=1, start=0, stop=1), shape=("B", 6))
    pooled = b.one("nn.activation", b.one("nn.linear", first, weights=[matrix, bias]), kind="tanh")
    program = b.program({"hidden": x, "pooled": pooled}, {"causal": False})
    want = emitted(ReferenceBackend(), program, store, tmp_path / "reference").run(ids_of(2, 5) % 9)
    folder = emit(program, store, tmp_path / "c")
    for threads in (1, 3):
        got = CRunner(folder, threads=threads).run(ids_of(2, 5) % 9)
        for name, values in want.items():
            assert_close(got[name], values)
