"""Contexts and continuations as tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sdllm.compiler.errors import InputError
from sdllm.compiler.evaluation.pairs import PairEncoder, prefix_token
from sdllm.compiler.evaluation.subject import Subject


@pytest.fixture
def encoder(subject: Subject) -> PairEncoder:
    return PairEncoder(subject.tokenizer, prefix_token(subject.tokenizer))


def test_both_are_encoded_as_one_text(encoder: PairEncoder) -> None:
    pair = encoder.pair("the cat", " sat on", "here")
    assert [*pair.context, *pair.continuation] == encoder.tokenizer.encode("the cat sat on")
    assert list(pair.context) == encoder.tokenizer.encode("the cat")


def test_spaces_go_to_the_continuation(encoder: PairEncoder) -> None:
    assert encoder.pair("the cat ", "sat", "here") == encoder.pair("the cat", " sat", "here")


def test_an_empty_context_is_the_first_token(encoder: PairEncoder) -> None:
    pair = encoder.pair("", " cat", "here")
    assert pair.context == [encoder.tokenizer.bos_token_id]
    assert list(pair.continuation) == encoder.tokenizer.encode(" cat", add_special_tokens=False)
    with pytest.raises(InputError, match="here: its context is empty"):
        replace(encoder, prefix=None).pair(" ", "cat", "here")


def test_nothing_left_to_score(encoder: PairEncoder) -> None:
    for context, continuation in (("the cat", ""), ("", ""), ("", "<s>")):
        with pytest.raises(InputError, match="task:3: no token is left"):
            encoder.pair(context, continuation, "task:3")


def test_the_first_token_comes_once(subject: Subject) -> None:
    class Starting:
        """A tokenizer that begins every text with its first token, as Llama's does."""

        bos_token, bos_token_id = "<s>", 0

        def __call__(self, text: str, add_special_tokens: bool, verbose: bool) -> dict[str, list[int]]:
            ids = subject.tokenizer(text)["input_ids"]
            return {"input_ids": [0, *ids] if add_special_tokens else ids}

    encoder = PairEncoder(Starting(), 0)
    assert encoder.text("<s>cat") == encoder.text("cat")
    assert encoder.text("cat")[0] == 0
    pair = encoder.pair("the cat", " sat", "here")
    assert (pair.context[0], 0 in pair.continuation) == (0, False)
