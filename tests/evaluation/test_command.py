"""`sdllm-compile eval` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import SMALL, TEXT
from .conftest import CHOICES, CONTEXTS, naive

Cli = Callable[..., tuple[int, str, str]]
Lines = Callable[..., Path]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def own(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled folder to leave results in."""
    from sdllm.compiler.cli import main

    out = tmp_path_factory.mktemp("own") / "out"
    assert main(["compile", str(tiny), "-o", str(out), *SMALL, "--no-measure"]) == 0
    return out


def told(cli: Cli, *args: object) -> dict[str, Any]:
    code, out, said = cli("eval", *args, "--json")
    assert code == 0, said
    return dict(json.loads(out))


def test_choices_of_a_source_model(cli: Cli, tiny: Path, lines: Lines, hf: Any, subject: Any) -> None:
    result = told(cli, tiny, "--task", "mine", "--data", lines(CHOICES), "--save-items")
    right = 0
    for given, item in zip(CHOICES, result["items"], strict=True):
        context = subject.tokenizer.encode(given["ctx"].rstrip())
        texts = [f"{given['ctx']} {choice}" for choice in given["choices"]]
        expected = [naive(hf, context, subject.tokenizer.encode(t)[len(context) :]) for t in texts]
        assert item["loglikelihoods"] == pytest.approx(expected, abs=2e-4)
        right += max(range(len(expected)), key=expected.__getitem__) == given["gold"]
    assert result["metrics"]["acc"] == right / len(CHOICES)
    assert {"acc", "acc_stderr", "acc_norm", "acc_norm_stderr"} == set(result["metrics"])
    assert (result["count"], result["backend"], result["data"]["file"]) == (4, "source", "task.jsonl")


def test_partial_scoring_and_a_limit(cli: Cli, tiny: Path, lines: Lines) -> None:
    data = lines(CONTEXTS)
    result = told(cli, tiny, "--task", "winogrande", "--data", data)
    assert set(result["metrics"]) == {"acc", "acc_stderr"}
    assert told(cli, tiny, "--task", "winogrande", "--data", data, "--limit", 1)["count"] == 1


@pytest.mark.parametrize("backend", ["reference", "simulator"])
def test_a_compiled_folder_keeps_its_results_and_stays_whole(
    cli: Cli, own: Path, lines: Lines, text: Path, backend: str
) -> None:
    given = (own, "--backend", backend, "--limit", 2)
    choices = told(cli, *given, "--task", "mine", "--data", lines(CHOICES))
    windows = told(cli, *given, "--task", "words", "--data", text, "--window", 16)
    assert (choices["count"], windows["count"], windows["protocol"]["predicted_tokens"]) == (2, 2, 30)
    kept = json.loads((own / "results" / f"mine.{backend}.first2.json").read_text())
    assert kept == choices
    assert (kept["limit"], kept["backend"], kept["model"]["recipe"], kept["model"]["seed"]) == (2, backend, "sdllm", 0)
    assert "items" not in kept
    assert (own / "results" / f"words.{backend}.window16.first2.json").exists()
    assert cli("verify", own)[0] == 0


def test_backends_agree(cli: Cli, own: Path, text: Path) -> None:
    given = (own, "--task", "words", "--data", text, "--window", 16, "--limit", 4)
    one, other = (told(cli, *given, "--backend", b)["metrics"]["perplexity"] for b in ("reference", "simulator"))
    assert one == pytest.approx(other, rel=5e-3)


def test_a_window_is_no_longer_than_the_context(cli: Cli, tiny: Path, text: Path) -> None:
    result = told(cli, tiny, "--task", "wikitext2", "--data", text)
    assert result["protocol"]["window"] == 64
    code, _, said = cli("eval", tiny, "--task", "wikitext2", "--data", text, "--window", 65)
    assert (code, "context is 64" in said) == (2, True)


def test_source_against_compiled(cli: Cli, tiny: Path, own: Path, text: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for model, file in zip((tiny, own), files, strict=True):
        code, out, _ = cli("eval", model, "--task", "w", "--data", text, "--window", 32, "--save-items", "--save", file)
        assert (code, f"written to {file}" in out) == (0, True)
    result = told(cli, "--compare", *files, "--seed", 7)
    [found] = result["differences"]
    assert found["metric"] == "perplexity"
    assert found["difference"] == pytest.approx(found["b"] - found["a"])
    assert found["low"] < found["difference"] < found["high"]
    table = cli("eval", "--compare", *files)[1]
    assert f"{found['difference']:+.4f}" in table


def test_bad_input_is_one_line(cli: Cli, tiny: Path, compiled: Path, lines: Lines, tmp_path: Path, text: Path) -> None:
    items = lines(CHOICES)
    long = lines([{"ctx": "a", "choices": ["1 " * 70, "b"], "gold": 0}], "long.jsonl")
    (tmp_path / "short.txt").write_text("the cat")
    (tmp_path / "latin.txt").write_bytes(b"\xe9\xff")
    for args, expected in (
        ((tiny,), "give a model and a --task"),
        ((tiny, "--task", "pika"), "is none of"),
        ((tiny, "--task", "x", "--data", tmp_path / "none.jsonl"), "no such file"),
        ((tiny, "--task", "x", "--data", items, "--limit", 0), "--limit 0: must be at least 1"),
        ((tiny, "--task", "x", "--data", items, "--batch-tokens", 0), "--batch-tokens 0"),
        ((tiny, "--task", "x", "--data", lines(["{"], "bad.jsonl")), "bad.jsonl:1: is not JSON"),
        ((tiny, "--task", "x", "--data", long), "long.jsonl:1: a continuation of"),
        ((tiny, "--task", "x", "--data", tmp_path / "short.txt"), "short.txt: "),
        ((tiny, "--task", "x", "--data", tmp_path / "latin.txt"), "cannot be read as UTF-8"),
        ((tiny, "--task", "x", "--data", text, "--window", 1), "--window 1"),
        ((tiny, "--task", "x", "--data", items, "--backend", "simulator"), "compile it first"),
        ((compiled, "--task", "x", "--data", items, "--backend", "onnx"), "not compiled for backend 'onnx'"),
        ((tiny, "--task", "x", "--data", items, "--save", tmp_path), "cannot be written; give another --save"),
        ((tiny, "--task", "x", "--data", items, "--save", items / "a.json"), "cannot be written"),
        ((tmp_path / "nowhere", "--task", "x", "--data", items), "nowhere"),
        (("--compare", items, items), "cannot be read as a result"),
        (("--compare", tmp_path / "n.json", items), "n.json"),
        ((tiny, "--compare", items, items), "neither a model nor a --task"),
    ):
        code, out, said = cli("eval", *args)
        assert (code, out, said.count("\n")) == (2, "", 1), (args, said)
        assert expected in said


def test_encoders_and_models_without_words_are_refused(cli: Cli, tiny: Path, tmp_path: Path, lines: Lines) -> None:
    import shutil

    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(config).save_pretrained(tmp_path / "bert")
    mute = Path(shutil.copytree(tiny, tmp_path / "mute", ignore=shutil.ignore_patterns("token*", "chat*")))
    for model, expected in ((tmp_path / "bert", "is an encoder"), (mute, "has no tokenizer")):
        code, _, said = cli("eval", model, "--task", "x", "--data", lines(CHOICES))
        assert (code, expected in said) == (2, True), said
