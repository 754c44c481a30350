"""allocate-spikes keeps to its budget, and what it expects of the model is what the model does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sdllm.backends.reference import ReferenceRunner
from sdllm.compiler.recipes import parse_pipeline
from sdllm.compiler.spikes import firing, split
from sdllm.ir import Program, Store
from sdllm.ir.interpreter import Interpreter
from sdllm.passes import Context, PassError, run_pipeline
from sdllm.passes.sensitivity import sensitivities
from sdllm.passes.twin import unspiked

from .models import decoder

ENCODE = "insert-encoders{code=digit_ramp:4:2:3,threshold=mean,factor=0.5,overflow=widen,price=0.3,attention=false}"


def made(*pipeline: str) -> tuple[Program, Store, np.ndarray, Context]:
    program, store, ids = decoder()
    context = Context(store, ids)
    return run_pipeline(program, parse_pipeline(",".join(pipeline)), context), store, ids, context


def logits(program: Program, store: Store, ids: np.ndarray) -> torch.Tensor:
    return Interpreter(program, store).run({"ids": torch.from_numpy(ids)})["logits"]


def additions(program: Program, store: Store, ids: np.ndarray) -> float:
    runner = ReferenceRunner(program, store)
    runner.run(ids, runner.new_state(len(ids)))
    return firing(program, split(program, runner.stats())[0]).additions_per_weight


@pytest.mark.parametrize(
    "weights", ["", "quantize-weights{bits=4,group=8,minimum=true},", "quantize-weights{rows=true},"]
)
@pytest.mark.parametrize("encode", [ENCODE, "insert-encoders{levels=15,attention=false}"])
def test_the_twin_is_the_program_without_spikes(weights: str, encode: str) -> None:
    program, store, ids, context = made()
    quantised = run_pipeline(program, parse_pipeline(weights), context) if weights else program
    spiked = run_pipeline(quantised, parse_pipeline(encode), context)
    twin, marks = unspiked(spiked)
    assert len(marks) == sum(op.name == "spike.encode" for op in spiked.ops)
    torch.testing.assert_close(logits(twin, store, ids), logits(quantised, store, ids), rtol=1e-4, atol=1e-5)


def test_the_sensitivity_of_an_only_encoder_is_the_divergence_of_the_whole() -> None:
    program, store, ids, context = made(ENCODE)
    encoders = [op for op in program.ops if op.name == "spike.encode"]
    found = sensitivities(program, context, encoders, len(ids))
    assert all(value > 0 for value in found.values())
    source = logits(unspiked(program)[0], store, ids)
    one = encoders[3]
    alone = _with_only(program, one.result.name)
    late = slice(ids.shape[1] // 4, None)
    a, b = (torch.log_softmax(x[:, late], -1) for x in (source, logits(alone, store, ids)))
    assert found[one.result.name] == pytest.approx(float((a.exp() * (a - b)).sum(-1).mean()), rel=0.03)


def _with_only(program: Program, keep: str) -> Program:
    """All encoders but one so fine that they change nothing."""
    from sdllm.ir import CSD, Rewriter

    rewriter = Rewriter(program)
    for op in program.ops:
        fine = op.name == "spike.encode" and op.result.name != keep
        rewriter.keep(op, **({"code": CSD(15), "factor": 1e-3, "price": 0.0} if fine else {}))
    return rewriter.done()


def test_additions_keep_to_the_budget_and_more_of_them_lose_less() -> None:
    spent, lost = [], []
    for budget in (0.7, 0.9, 1.1):
        program, store, ids, context = made(ENCODE, f"allocate-spikes{{additions={budget}}}")
        (told,) = (note.text for note in context.notes if not note.module)
        assert float(told.split()[1]) <= budget
        spent.append(additions(program, store, ids))
        assert spent[-1] == pytest.approx(float(told.split()[1]), rel=0.05)
        source = torch.log_softmax(logits(unspiked(program)[0], store, ids), -1)
        lost.append(
            float((source.exp() * (source - torch.log_softmax(logits(program, store, ids), -1))).sum(-1).mean())
        )
    assert spent == sorted(spent)
    assert lost == sorted(lost, reverse=True)


def test_it_does_better_than_one_setting_for_all() -> None:
    plain, store, ids, _ = made(ENCODE)
    budget = additions(plain, store, ids)
    allocated, other, _, _ = made(ENCODE, f"allocate-spikes{{additions={budget}}}")

    def loss(program: Program, store: Store) -> float:
        a, b = (torch.log_softmax(logits(p, store, ids), -1) for p in (unspiked(program)[0], program))
        return float((a.exp() * (a - b)).sum(-1).mean())

    assert loss(allocated, other) < loss(plain, store)


def test_further_codes_are_taken_where_they_pay() -> None:
    program, *_ = made(ENCODE, "allocate-spikes{additions=0.9,codes=csd:8+ramp:16:2}")
    codes = {op.attrs["code"].name for op in program.ops if op.name == "spike.encode"}
    assert codes <= {"digit_ramp", "csd", "ramp"}
    assert len(codes) > 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("additions=0.001", r"additions=0.001: the cheapest settings need 0\.\d+"),
        ("additions=0", "must be more than 0"),
        ("factors=1+x", "factors=1\\+x: is no list of numbers joined by \\+"),
        ("prices=inf", "must be finite"),
        ("codes=morse:3", "there is no code 'morse'"),
    ],
)
def test_what_cannot_be_is_said(options: str, says: str) -> None:
    with pytest.raises(PassError, match=says):
        made(ENCODE, f"allocate-spikes{{{options}}}")


def test_a_budget_out_of_reach_gets_the_cheapest_settings_where_that_is_wanted() -> None:
    *_, context = made(ENCODE, "allocate-spikes{additions=0.001,strict=false}")
    assert any("more than the 0.001 asked for" in note.text for note in context.notes)


def test_there_must_be_encoders() -> None:
    with pytest.raises(PassError, match="insert encoders first"):
        made("allocate-spikes")


def test_measurements_are_kept_for_the_next_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    program, store, ids, _ = made(ENCODE)
    context = Context(store, ids)
    run_pipeline(program, parse_pipeline("allocate-spikes{additions=0.8}"), context)
    monkeypatch.setattr("sdllm.passes.allocate_spikes.sensitivities", None)
    run_pipeline(program, parse_pipeline("allocate-spikes{additions=1.0}"), context)


def test_nor_does_attention_hide_anything_in_the_twin() -> None:
    program, store, ids, context = made()
    spiked = run_pipeline(program, parse_pipeline(ENCODE.replace(",attention=false", "")), context)
    twin, marks = unspiked(spiked)
    assert 0 < len(marks) < sum(op.name == "spike.encode" for op in spiked.ops)
    source = torch.log_softmax(logits(program, store, ids), -1)
    apart = [
        float((source.exp() * (source - torch.log_softmax(logits(p, store, ids), -1))).sum(-1).mean())
        for p in (twin, spiked)
    ]
    assert apart[0] < 1e-3 * apart[1]
