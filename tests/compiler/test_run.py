"""run by the C backend, as a user meets it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.backends.c.runner import usual_threads
from sdllm.compiler.generate import prompt_ids, text_facts

from ..conftest import SMALL

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def in_c(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in C, its library built without optimisation."""
    from sdllm.compiler.cli import main

    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("there is no C compiler")
    out = tmp_path_factory.mktemp("in-c") / "o"
    assert main(["compile", str(tiny), "-o", str(out), *SMALL, "--no-measure", "--backend", "c"]) == 0
    return out


@pytest.fixture(autouse=True)
def quick_builds(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("SDLLM_CFLAGS", "-O0 -DSD_ONLY_PORTABLE")
    monkeypatch.setenv("SDLLM_CACHE", str(tmp_path_factory.getbasetemp() / "cli-c-cache"))


def test_the_same_text_as_by_the_reference_and_what_it_cost(cli: Cli, in_c: Path) -> None:
    given = ("run", in_c, "--prompt", "the cat", "--max-tokens", 6, "--stats")
    code, said, told = cli(*given, "--backend", "c")
    assert code == 0
    assert said == cli(*given, "--backend", "reference")[1]
    assert re.fullmatch(
        r"prompt: \d+ tokens, [\d.]+ tokens/s; then [1-6] tokens(, [\d.]+ tokens/s)?\n"
        r"a token: [\d,]+ spikes, [\d,]+ additions\n",
        told,
    )
    by_c, by_reference = (json.loads(cli(*given, "--json", "--backend", b)[1]) for b in ("c", "reference"))
    assert by_c["prefill_tokens_per_second"] > 0
    for what in ("tokens", "spikes_per_token", "additions_per_token"):
        assert by_c[what] == by_reference[what]


def test_a_context_that_fills_up_ends_the_text(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("compile", tiny, "-o", out, *SMALL, "--no-measure", "--backend", "c{context=10}")[0] == 0
    code, said, _ = cli("run", out, "--ids", "5,6,7", "--max-tokens", 50)
    assert code == 0
    assert len(said.split()) == 7
    code, _, said = cli("run", out, "--ids", ",".join("5" * 10))
    assert code == 2
    assert "the prompt has 10 tokens, the model's context 10" in said


def test_text_json_says_what_ends_a_text_and_what_frames_a_turn(in_c: Path) -> None:
    facts = json.loads((in_c / "text.json").read_text())
    assert facts == {"stop": [1], "chat": ["<s>", "</s>"]}
    assert json.loads((in_c / "manifest.json").read_text())["backends"]["c"]["text"] is True


@pytest.mark.parametrize(
    ("template", "frame"),
    [
        ("{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}", ["<s>", "</s>"]),
        ("{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}bot:", ["user: ", "\nbot:"]),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", None),
        ("{{ messages[0].content | length }}", None),
        ("{{ raise_exception('no system turn') }}", None),
        (None, None),
    ],
)
def test_the_frame_of_a_turn_is_that_of_the_template(tiny: Path, template: str | None, frame: list[str] | None) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = template
    assert text_facts({"eos_token_id": [7, 3]}, tokenizer) == {"stop": [1, 3, 7], "chat": frame}
    if frame:
        ids = prompt_ids(tokenizer, "the cat", chat=True)
        assert ids == tokenizer(frame[0] + "the cat" + frame[1], add_special_tokens=False)["input_ids"]


def test_threads_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDLLM_THREADS", "3")
    assert usual_threads(1) == usual_threads(4) == 3
    monkeypatch.setenv("SDLLM_THREADS", "many")
    with pytest.raises(Exception, match="SDLLM_THREADS is 'many'; give a positive number"):
        usual_threads(4)
    monkeypatch.delenv("SDLLM_THREADS")
    assert 1 <= usual_threads(4) <= 4
