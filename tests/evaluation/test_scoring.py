"""Batched scores are those of one pair at a time, and of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdllm.backends.interface import Branching, Ids, Serial
from sdllm.backends.registry import backend as find_backend
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.errors import InputError
from sdllm.compiler.evaluation.pairs import Pair
from sdllm.compiler.evaluation.scoring import score
from sdllm.compiler.evaluation.subject import Subject

from .conftest import naive


def some_pairs(count: int = 24, longest: int = 40) -> list[Pair]:
    random = np.random.default_rng(3)

    def tokens(most: int) -> list[int]:
        return [int(t) for t in random.integers(0, 280, random.integers(1, most))]

    return [Pair(tokens(longest - 8), tokens(8)) for _ in range(count)]


class Counted:
    """A runner that remembers the shapes it was given."""

    def __init__(self, runner: Any) -> None:
        self.runner, self.shapes = runner, list[tuple[int, ...]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    def run(self, ids: Ids, state: Any = None, *, mask: Ids | None = None) -> Any:
        self.shapes.append(ids.shape)
        return self.runner.run(ids, state, mask=mask)


@pytest.mark.parametrize("batch_tokens", [1, 50, 100_000])
def test_scores_are_those_of_transformers(subject: Subject, hf: Any, batch_tokens: int) -> None:
    pairs = some_pairs()
    found = score(subject.runner, pairs, 64, batch_tokens)
    expected = [naive(hf, p.context, p.continuation) for p in pairs]
    assert [s.likelihood for s in found] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("backend", ["reference", "simulator"])
def test_padding_changes_nothing_in_a_spike_program(compiled: Path, backend: str) -> None:
    runner = open_artifact(compiled).runner(backend)
    pairs = some_pairs(8, 20)
    alone, together = (score(runner, pairs, 64, tokens) for tokens in (1, 100_000))
    assert [s.likelihood for s in together] == pytest.approx([s.likelihood for s in alone], abs=1e-3)
    assert [s.greedy for s in together] == [s.greedy for s in alone]


def test_greedy_is_what_the_model_would_write(subject: Subject, hf: Any) -> None:
    import torch

    context = [5, 6, 7]
    with torch.inference_mode():
        written = hf.generate(torch.tensor([context]), max_new_tokens=3, do_sample=False)[0, 3:].tolist()
    other = [*written[:-1], (written[-1] + 1) % 280]
    found = score(subject.runner, [Pair(context, written), Pair(context, other)])
    assert [s.greedy for s in found] == [True, False]


def test_batches_hold_so_many_tokens_and_equal_inputs_run_once(subject: Subject) -> None:
    runner = Counted(subject.runner)
    score(runner, some_pairs(), 64, 100)
    assert all(rows == 1 or rows * length <= 100 for rows, length in runner.shapes)
    assert [length for _, length in runner.shapes] == sorted((s[1] for s in runner.shapes), reverse=True)
    runner = Counted(subject.runner)
    found = score(runner, [Pair([1, 2, 3], [token]) for token in range(9)])
    assert runner.shapes == [(1, 3)]
    assert len({s.likelihood for s in found}) == 9


def test_what_is_too_long_loses_its_oldest_tokens(subject: Subject, hf: Any) -> None:
    context, continuation = list(range(20)), [40, 41, 42]
    found = score(subject.runner, [Pair(context, continuation)], 8)
    assert found[0].likelihood == pytest.approx(naive(hf, context[-6:], continuation), abs=2e-4)
    with pytest.raises(InputError, match="3 tokens is longer than the context, 2"):
        score(subject.runner, [Pair(context, continuation)], 2)


def choices_after(lengths: list[int]) -> list[Pair]:
    """Four choices after each of some contexts."""
    random = np.random.default_rng(5)

    def tokens(count: int) -> list[int]:
        return [int(t) for t in random.integers(0, 280, count)]

    contexts = [tokens(length) for length in lengths]
    return [Pair(context, tokens(1 + index)) for context in contexts for index in range(4)]


class Plain:
    """A runner that cannot branch."""

    def __init__(self, runner: Any) -> None:
        self.new_state, self.run, self.stats = runner.new_state, runner.run, runner.stats


@pytest.mark.parametrize("backend", ["reference", "c"])
def test_a_shared_context_is_run_once_and_changes_nothing(compiled: Path, tmp_path: Path, backend: str) -> None:
    artifact = open_artifact(compiled)
    target = find_backend(backend)
    target.emit(artifact.program, artifact.store, tmp_path, {})
    pairs = choices_after([30, 2, 25])
    alone, shared = target.load(tmp_path), target.load(tmp_path)
    assert isinstance(shared, Branching)
    expected, found = score(Plain(alone), pairs, 64), score(shared, pairs, 64)
    assert [s.likelihood for s in found] == pytest.approx([s.likelihood for s in expected], abs=1e-3)
    assert shared.stats().tokens < alone.stats().tokens - 3 * (29 + 24) + 12  # padding
    if isinstance(shared, Serial):
        assert shared.stats().tokens == (29 + 24) + 2 * (1 + 2 + 3 + 4) + (2 + 3 + 4 + 5)  # and none


def test_a_context_that_is_cut_is_not_shared(subject: Subject, hf: Any) -> None:
    pairs = choices_after([40])
    found = score(subject.runner, pairs, 42)
    expected = [naive(hf, p.context[-(43 - len(p.continuation)) :], p.continuation) for p in pairs]
    assert [s.likelihood for s in found] == pytest.approx(expected, abs=2e-4)
