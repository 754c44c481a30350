"""Trials are scored as `eval` scores, cost what the measure of a compile says, and are done once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sdllm.backends.reference import ReferenceRunner
from sdllm.compiler.compile import Prepared, Request, prepare
from sdllm.compiler.search import Trials
from sdllm.compiler.spikes import firing, split
from sdllm.compiler.ui import Quiet

ENCODE = "insert-encoders{code=csd:6,threshold=mean,factor=0.33}"


@pytest.fixture(scope="module")
def prepared(tiny: Path) -> Prepared:
    return prepare(Request(str(tiny), Path(), sequences=4, length=16, held_out=3), Quiet())


@pytest.fixture
def trials(prepared: Prepared, tmp_path: Path) -> Trials:
    return Trials(prepared, prepared.calibration.held_out, tmp_path / "trials")


def test_a_trial_costs_what_the_program_does(trials: Trials, prepared: Prepared) -> None:
    pipeline = f"fold-norms,rotate,quantize-weights{{bits=4,group=8}},{ENCODE}"
    found = trials.outcome(pipeline)
    assert found.cost is not None
    program, store = trials.compiled(pipeline)
    runner = ReferenceRunner(program, store)
    for window in prepared.calibration.held_out:
        runner.run(window[None, :-1], runner.new_state(1))
    linear = firing(program, split(program, runner.stats())[0])
    cost = found.cost
    assert cost.additions == pytest.approx(linear.additions_per_weight + cost.rotations)
    assert cost.rotations > 0
    assert (cost.spikes, cost.nonzero, cost.steps) == (linear.spikes_per_activation, linear.nonzero, 6)
    assert cost.bits == pytest.approx(4 + 16 / 8)
    # A matrix of 32 inputs has 4 groups of 8, one of 64 has 8; each output is multiplied once more, by V.
    assert 5 < cost.multiplies < 9
    assert set(cost.joules) == {"literature", "integers", "with memory"}


def test_the_source_has_no_cost_and_every_spike_loses_something(trials: Trials) -> None:
    source = trials.source()
    assert source.cost is None
    assert len(source.losses) == 3
    assert trials.outcome(ENCODE).perplexity != source.perplexity


def test_each_is_done_once_and_told_apart(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trials.outcome(ENCODE)
    monkeypatch.setattr(trials, "_made", None)
    assert trials.outcome(ENCODE) == first
    assert trials.outcome(ENCODE.replace("{", "{price=0.0,")) == first  # the same passes
    with pytest.raises(TypeError):
        trials.outcome(ENCODE.replace("0.33", "0.34"))


def test_a_start_that_was_shared_changes_nothing(trials: Trials, prepared: Prepared, tmp_path: Path) -> None:
    quantise = "quantize-weights{bits=4,group=8}"
    first = [trials.outcome(f"{quantise},{ENCODE}"), trials.outcome(quantise), trials.source()]
    other = Trials(prepared, prepared.calibration.held_out, tmp_path / "other")
    second = [other.source(), other.outcome(quantise), other.outcome(f"{quantise},{ENCODE}")]
    assert [o.losses for o in first] == [o.losses for o in second[::-1]]
    # What an earlier trial had run is told with the later one.
    assert second[2].minutes > second[1].minutes > second[0].minutes >= 0.0
    assert second[2].peak_mb >= second[1].peak_mb > 0.0


def test_another_text_is_another_trial(trials: Trials, prepared: Prepared) -> None:
    first = trials.outcome(ENCODE)
    calibration = replace(prepared.calibration, held_out=prepared.calibration.held_out[:1])
    other = Trials(prepared, calibration.held_out, trials.folder).outcome(ENCODE)
    assert other.losses == first.losses[:1]
    assert trials.outcome(ENCODE, calibration.held_out) == other
    assert len(list(trials.folder.iterdir())) == 2
