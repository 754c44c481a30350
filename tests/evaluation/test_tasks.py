"""Task files of both shapes, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.compiler.errors import InputError
from sdllm.compiler.evaluation.tasks import KNOWN, read_items, task_file

from .conftest import CHOICES, CONTEXTS

Lines = Callable[..., Path]


def test_both_shapes(lines: Lines) -> None:
    first, *_, last = read_items(lines([*CHOICES, "", *CONTEXTS]))
    assert first.pairs[1] == ("the cat sat on", " the dog ran after the cat")
    assert (first.gold, first.lengths) == (0, (7, 25, 3))
    assert last.pairs == (("both sat", " again."), ("the mat sat", " again."))
    assert last.lengths is None
    assert last.where.endswith("task.jsonl:7")


def test_a_limit_leaves_the_rest_unread(lines: Lines) -> None:
    assert len(read_items(lines([*CHOICES[:2], "broken"]), 2)) == 2


GOOD = '{"ctx": "a", "choices": ["b", "c"], "gold": 0}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no JSON object"),
        ('{"question": "a"}', "has neither 'ctx' and 'choices' nor 'ctxs' and 'cont' (it has question)"),
        ('{"ctx": 1, "choices": ["b"], "gold": 0}', "'ctx' is no text"),
        ('{"ctx": "a", "choices": [], "gold": 0}', "'choices' is no list of texts"),
        ('{"ctx": "a", "choices": "bc", "gold": 0}', "'choices' is no list of texts"),
        ('{"ctx": "a", "choices": ["b", 2], "gold": 0}', "'choices' is no text"),
        ('{"ctx": "a", "choices": ["b", ""], "gold": 0}', "choice 1 is empty"),
        ('{"ctx": "a", "choices": ["b", "c"]}', "'gold' is None, not one of 0 to 1"),
        ('{"ctx": "a", "choices": ["b", "c"], "gold": 2}', "'gold' is 2"),
        ('{"ctx": "a", "choices": ["b", "c"], "gold": true}', "'gold' is True"),
        ('{"ctxs": ["a", "b"], "cont": "", "gold": 0}', "'cont' is empty"),
        ('{"ctx": "\\ud800", "choices": ["b", "c"], "gold": 0}', "half a character"),
    ],
)
def test_a_malformed_item_is_named(lines: Lines, line: str, said: str) -> None:
    path = lines([GOOD, line])
    with pytest.raises(InputError) as raised:
        read_items(path)
    assert f"{path}:2: " in str(raised.value)
    assert said in str(raised.value)


def test_an_empty_file(lines: Lines) -> None:
    with pytest.raises(InputError, match="holds no items"):
        read_items(lines([""]))


def test_where_a_task_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDLLM_DATA", raising=False)
    with pytest.raises(InputError, match="is none of wikitext2, piqa"):
        task_file("pika", None)
    with pytest.raises(InputError, match=r"name a folder with eval/piqa\.jsonl by SDLLM_DATA"):
        task_file("piqa", None)
    monkeypatch.setenv("SDLLM_DATA", str(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        task_file("piqa", None)
    (tmp_path / "eval").mkdir()
    (tmp_path / KNOWN["piqa"]).write_text(GOOD)
    assert task_file("piqa", None) == tmp_path / "eval" / "piqa.jsonl"
    mine = tmp_path / "mine.jsonl"
    mine.write_text(GOOD)
    assert task_file("piqa", mine) == task_file("anything", mine) == mine
