"""acc, acc_norm and their standard errors, as lm-evaluation-harness defines them."""

from __future__ import annotations

import math

import pytest
from sdllm.compiler.evaluation.accuracy import metrics, outcomes, standard_error
from sdllm.compiler.evaluation.scoring import Score
from sdllm.compiler.evaluation.tasks import Item


def item(*choices: str, gold: int, partial: bool = False) -> Item:
    pairs = tuple(("context", f" {c}") for c in choices)
    return Item(pairs, gold, None if partial else tuple(map(len, choices)), "here")


def scores(*likelihoods: float, greedy: bool = False) -> list[Score]:
    return [Score(value, greedy) for value in likelihoods]


def test_acc_takes_the_sum_and_acc_norm_the_sum_a_character() -> None:
    # 10 characters at -6 are likelier a character than 2 at -3, and less likely in all.
    question = item("characters", "no", gold=0)
    assert outcomes(question, scores(-6, -3)) == {"acc": 0.0, "acc_norm": 1.0}
    assert outcomes(item("characters", "no", gold=1), scores(-6, -3)) == {"acc": 1.0, "acc_norm": 0.0}


def test_characters_are_counted_not_bytes() -> None:
    assert outcomes(item("éé", "abc", gold=0), scores(-2, -3.1))["acc_norm"] == 1.0


def test_of_equals_the_first_counts() -> None:
    assert outcomes(item("a", "b", gold=0), scores(-1, -1)) == {"acc": 1.0, "acc_norm": 1.0}
    assert outcomes(item("a", "b", gold=1), scores(-1, -1)) == {"acc": 0.0, "acc_norm": 0.0}


def test_partial_scoring_has_nothing_to_normalise_by() -> None:
    assert outcomes(item("x", "y", gold=1, partial=True), scores(-2, -1)) == {"acc": 1.0}


def test_a_single_choice_is_right_where_it_would_be_written() -> None:
    found = [outcomes(item("word", gold=0), scores(value, greedy=value > -2)) for value in (-1.0, -3.0)]
    assert found == [{"acc": 1.0, "loss": 1.0}, {"acc": 0.0, "loss": 3.0}]
    means = metrics(found)
    assert means["perplexity"] == pytest.approx(math.exp(2))
    assert means["perplexity_stderr"] == pytest.approx(math.exp(2) * 1.0)


def test_standard_error_is_of_the_sample() -> None:
    values = [1.0] * 30 + [0.0] * 70
    assert standard_error(values) == pytest.approx(math.sqrt(0.3 * 0.7 / 99))
    assert metrics([{"acc": v} for v in values]) == {"acc": 0.3, "acc_stderr": standard_error(values)}
    assert standard_error([1.0]) is None
