"""Perplexity by the standard protocol is what a plain loop over Hugging Face gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sdllm.compiler.errors import InputError
from sdllm.compiler.evaluation.perplexity import losses, perplexity, windows
from sdllm.compiler.evaluation.subject import Subject

from ..conftest import TEXT


def test_perplexity_is_that_of_transformers(subject: Subject, hf: Any) -> None:
    ids = subject.tokenizer(TEXT)["input_ids"]
    sums = []
    for start in range(0, len(ids) - 31, 32):
        window = torch.tensor([ids[start : start + 32]])
        with torch.inference_mode():
            sums.append(hf(window, labels=window).loss.item())
    tokens = windows(ids, 32, None, "text")
    assert len(tokens) == len(sums) == len(ids) // 32
    found = perplexity(losses(subject.runner, tokens), 32)
    assert found.perplexity == pytest.approx(math.exp(np.mean(sums)), rel=1e-5)
    assert found.standard_error == pytest.approx(
        found.perplexity * np.std(sums, ddof=1) / math.sqrt(len(sums)), rel=1e-3
    )


def test_windows_follow_each_other_and_the_last_is_whole() -> None:
    assert windows(range(11), 4, None, "text").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert windows(range(12), 4, 1, "text").tolist() == [[0, 1, 2, 3]]
    assert len(windows(range(12), 4, 9, "text")) == 3
    with pytest.raises(InputError, match=r"a\.txt: 3 tokens make no window of 4"):
        windows(range(3), 4, None, "a.txt")


def test_long_windows_are_scored_in_chunks(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = windows(subject.tokenizer(TEXT)["input_ids"], 64, 2, "text")
    whole = losses(subject.runner, tokens)
    monkeypatch.setattr("sdllm.compiler.evaluation.perplexity._CHUNK", 7)
    assert losses(subject.runner, tokens) == pytest.approx(whole)


def test_one_window_has_no_standard_error_and_a_broken_model_no_number() -> None:
    assert perplexity([3.0], 4).standard_error is None
    assert perplexity([1e9, 2e9], 4).perplexity == math.inf
