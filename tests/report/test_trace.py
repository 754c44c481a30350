"""A trace says of each module what running both programs gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sdllm.backends.reference import ReferenceRunner
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.compile import Request, load_model
from sdllm.compiler.trace import trace
from sdllm.compiler.ui import Quiet

from ..conftest import SMALL
from .conftest import Look

Cli = Callable[..., tuple[int, str, str]]
IDS = list(range(3, 27))


@pytest.fixture(scope="module")
def source(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:  # type: ignore[type-arg]
    model = load_model(Request(str(tiny), tmp_path_factory.mktemp("x")), Quiet())
    return model.program, model.store


def test_exact_passes_do_not_diverge(cli: Cli, tiny: Path, tmp_path: Path, source: tuple) -> None:  # type: ignore[type-arg]
    out = tmp_path / "exact"
    assert cli("compile", tiny, "-o", out, "--pipeline", "fold-norms,fold-scales,rotate", *SMALL)[0] == 0
    found = trace(open_artifact(out), IDS, source)
    assert len(found.lines) == 19  # 7 linear layers and 2 sums in each of 2 layers, and the head
    assert max(line.error for line in found.lines) < 1e-4
    assert (found.first_module, found.first_choice) == (None, None)
    assert sum(found.spikes_by_token) == 0


def test_spikes_and_first_choice_are_those_of_runs(compiled: Path, source: tuple) -> None:  # type: ignore[type-arg]
    artifact = open_artifact(compiled)
    found = trace(artifact, IDS, source)
    runner = ReferenceRunner(artifact.program, artifact.store)
    ours = runner.run(np.array([IDS]))["logits"][0].argmax(-1)
    theirs = ReferenceRunner(*source).run(np.array([IDS]))["logits"][0].argmax(-1)
    assert found.first_choice == int(np.flatnonzero(ours != theirs)[0])
    counts = runner.stats().counts
    lines = [line for line in found.lines if line.spikes is not None]
    assert [(line.module, line.spikes) for line in lines] == [(c.module, c.spikes) for c in counts]
    makers = artifact.program.producers()
    linears = [c for c in counts if makers[c.op].name == "spike.linear"]
    assert sum(found.spikes_by_token) == sum(c.spikes for c in linears)
    first = next(line for line in found.lines if line.error is not None and line.error > found.tolerance)
    assert found.first_module == first.module
    assert first.first_token is not None


def test_without_source_errors_are_those_stored(compiled: Path) -> None:
    stored = {(g["module"], g["what"]): g["error"] for g in json.loads((compiled / "journal.json").read_text())["gap"]}
    found = trace(open_artifact(compiled), IDS)
    assert found.against == "stored"
    assert found.first_choice is None
    assert {(x.module, x.what): x.error for x in found.lines if x.error is not None} == stored


def test_the_command_and_the_report(cli: Cli, compiled: Path, tiny: Path, tmp_path: Path, look: Look) -> None:
    import shutil

    folder = tmp_path / "folder"
    shutil.copytree(compiled, folder)
    code, told, _ = cli("trace", folder, "--prompt", "the cat sat", "--source", tiny, "--save")
    assert code == 0
    assert "error of this text" in told
    assert "first module with an error beyond 0.1" in told
    assert cli("verify", folder)[0] == 0  # what was kept is outside what is signed
    found = json.loads(cli("trace", folder, "--prompt", "the cat sat", "--layer", "1", "--json")[1])
    assert found["lines"]
    assert all(".1." in line["module"] + "." for line in found["lines"])
    page = tmp_path / "r.html"
    assert cli("report", folder, "-o", page)[0] == 0
    with look(page) as opened:
        text = opened.locator("#trace").text_content()
        assert "Errors are of this text" in text
        assert "model.layers.1.mlp.down_proj" in text
    assert cli("report", compiled, "-o", page)[0] == 0
    assert "None was kept" in page.read_text()


@pytest.mark.parametrize(
    "words",
    [("--prompt", ""), ("--ids", "1,x"), ("--ids", "99999"), ("--ids", "1", "--layer", "9"),
     ("--ids", "1", "--tolerance", 0), ("--ids", "1", "--source", "nowhere/at all")],
)  # fmt: skip
def test_bad_calls(cli: Cli, compiled: Path, words: tuple[object, ...]) -> None:
    code, _, said = cli("trace", compiled, *words)
    assert code == 2
    assert said.count("\n") == 1


def test_another_model_is_refused_as_source(cli: Cli, compiled: Path, tiny: Path, tmp_path: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny, tmp_path / "changed")
    path = tmp_path / "changed" / "model.safetensors"
    tensors = {name: t + 0.01 * torch.ones_like(t) for name, t in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    code, _, said = cli("trace", compiled, "--ids", "1,2", "--source", tmp_path / "changed")
    assert code == 2
    assert "sha256" in said
