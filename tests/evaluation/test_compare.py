"""The paired bootstrap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdllm.compiler.errors import InputError
from sdllm.compiler.evaluation.compare import compare
from sdllm.compiler.evaluation.results import Saved


def saved(name: str, key: str, values: Any, **protocol: int) -> Saved:
    items = [{key: float(v)} for v in values]
    content = {"kind": "k", "task": "t", "data": {"sha256": "s"}, "protocol": protocol, "items": items, "metrics": {}}
    return Saved(Path(name), content)


def draws(n: int = 400, seed: int = 1) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    a = random.random(n) < 0.6
    return a, np.where(random.random(n) < 0.1, ~a, a)


def test_a_result_does_not_differ_from_itself() -> None:
    a, _ = draws()
    [found] = compare(saved("a", "acc", a), saved("b", "acc", a))
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_the_interval_is_that_of_the_paired_differences() -> None:
    a, b = draws()
    [found] = compare(saved("a", "acc", a), saved("b", "acc", b))
    differences = b.astype(float) - a
    assert found.difference == pytest.approx(differences.mean())
    spread = 1.96 * differences.std(ddof=1) / np.sqrt(len(a))
    assert found.low == pytest.approx(found.difference - spread, abs=0.2 * spread)
    assert found.high == pytest.approx(found.difference + spread, abs=0.2 * spread)


def test_it_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        a = random.normal(0, 3, 60)
        b = a + random.normal(0.5, 1, 60)
        [found] = compare(saved("a", "acc", a), saved("b", "acc", b), resamples=400)
        held += found.low <= 0.5 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_losses_are_compared_as_perplexities() -> None:
    values = np.random.default_rng(0).normal(3, 0.3, 50)
    [found] = compare(saved("a", "loss", values), saved("b", "loss", values + np.log(1.1)))
    assert found.metric == "perplexity"
    assert found.a == pytest.approx(np.exp(values.mean()))
    assert found.b / found.a == pytest.approx(1.1)
    assert 0 < found.low < found.difference < found.high


def test_the_seed_decides() -> None:
    a, b = (saved(name, "acc", values) for name, values in zip("ab", draws(), strict=True))
    first, again, other = (compare(a, b, seed=seed, resamples=200) for seed in (1, 1, 2))
    assert first == again != other


def test_only_the_same_items_are_compared() -> None:
    a = saved("a", "acc", [1, 0, 1])
    for other, said in (
        (saved("b", "acc", [1, 0]), "differ in count"),
        (saved("b", "acc", [1, 0, 1], window=64), "differ in window"),
        (saved("b", "loss", [1, 0, 1]), "no metric in common"),
    ):
        with pytest.raises(InputError, match=said):
            compare(a, other)
    a.content["items"].clear()
    with pytest.raises(InputError, match="--save-items"):
        compare(a, a)
