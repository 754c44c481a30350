"""compile, run and eval by the ONNX backend, as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from sdllm.backends.onnx.backend import MAP
from sdllm.backends.onnx.runner import MODEL

from ...conftest import SMALL

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def out(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as ONNX, gone on with from a compiled folder."""
    from sdllm.compiler.cli import main

    made = tmp_path_factory.mktemp("onnx") / "o"
    given = ["compile", str(compiled), "-o", str(made), "--pipeline", "", *SMALL, "--no-measure"]
    assert main([*given, "--backend", "onnx", "--onnx-steps", "unrolled"]) == 0
    return made


def test_it_writes_the_text_that_the_reference_writes(cli: Cli, out: Path) -> None:
    given = ("run", out, "--prompt", "the cat", "--max-tokens", 8)
    code, said, _ = cli(*given, "--backend", "onnx")
    assert code == 0
    assert cli(*given, "--backend", "reference")[1] == said


def test_it_is_scored(cli: Cli, out: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog ran after it. " * 12)
    scores = []
    for backend in ("onnx", "reference"):
        given = ("eval", out, "--task", "mine", "--data", text, "--window", 16, "--backend", backend, "--json")
        code, said, told = cli(*given, "--save", tmp_path / f"{backend}.json")
        assert code == 0, told
        scores.append(json.loads(said)["metrics"]["perplexity"])
    assert scores[0] == pytest.approx(scores[1], rel=5e-3)


def test_the_folder_says_what_it_holds(out: Path) -> None:
    told = json.loads((out / "manifest.json").read_text())["backends"]["onnx"]
    assert (told["entry"], told["mode"], told["steps"]) == (MODEL, "exact", "unrolled")
    assert told["functions"] == [f.name for f in onnx.load(out / "onnx" / MODEL).functions]
    assert "SpikeTrain" in told["functions"]
    assert not (out / "onnx" / "program.spike").exists()
    assert len(json.loads((out / "onnx" / MAP).read_text())) > 50


def test_a_wrong_option_is_2_before_any_work(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    for option in ("onnx{steps=many}", "onnx{mode=fast,steps=unrolled}"):
        code, _, told = cli("compile", tiny, "-o", tmp_path / "o", "--backend", option)
        assert (code, "steps" in told) == (2, True)
    code, _, told = cli("compile", tiny, "-o", tmp_path / "o", "--backend", "simulator", "--onnx-steps", "folded")
    assert (code, "--onnx-steps" in told) == (2, True)
