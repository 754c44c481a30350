"""Backend options from the command line: they reach the emitted program, and wrong ones are refused before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.compiler.targets import targets

from ..conftest import SMALL

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("given", "kernels", "context"),
    [
        (["--backend", "c{kernels=add,context=32},simulator"], "add", 32),
        (["--backend", "c", "--kernels", "event", "--backend", "simulator"], "event", 64),
        (["--backend", "c{kernels=dense}", "--backend", "simulator", "--kernels", "event"], "dense", 64),
    ],
)
def test_options_reach_the_backend(
    given: list[str], kernels: str, context: int, cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    code, _, said = cli("compile", tiny, "-o", tmp_path / "o", *SMALL, "--no-measure", *given)
    assert (code, said) == (0, said)
    emitted = json.loads((tmp_path / "o" / "manifest.json").read_text())["backends"]
    assert list(emitted) == ["c", "simulator"]
    assert emitted["c"]["options"]["kernels"] == emitted["c"]["kernels"] == kernels
    assert emitted["c"]["context"] == context
    assert "options" not in emitted["simulator"]


@pytest.mark.parametrize("command", [["compile"], ["tune", "--max-additions", "1"]])
@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--backend", "c{kernels=fast}"], "the c backend's option kernels must be one of auto, dense, event, add"),
        (["--backend", "c{threads=2}"], "the c backend has no option 'threads'"),
        (["--backend", "c{kernels}"], "c: 'kernels' has no value (write option=value)"),
        (["--backend", "c{kernels=add"], "cannot read backends at 'c{kernels=add'"),
        (["--backend", "c,c{kernels=add}"], "backend c is given twice"),
        (["--backend", "simulator{steps=1}"], "backend simulator has no option 'steps': it takes none"),
        (["--kernels", "add"], "--kernels add: no such option has backend simulator"),
        (["--backend", "c", "--kernels", "fast"], "the c backend's option kernels must be one of"),
        (["--backend", "d"], "no 'd' in sdllm.backends"),
    ],
)
def test_wrong_options_are_refused_before_the_model_is_read(
    command: list[str], given: list[str], why: str, cli: Cli, tmp_path: Path
) -> None:
    """There is no model at that path, which would be the next thing to be said."""
    code, told, said = cli(command[0], tmp_path / "no-model", "-o", tmp_path / "o", *command[1:], *given)
    assert (code, told) == (2, "")
    assert said.startswith(f"sdllm-compile: {why}")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_text_of_a_target_is_what_it_was_read_from() -> None:
    for text in ("c", "c{kernels=add,floats=f16}", "simulator"):
        assert [str(t) for t in targets([text])] == [text]


def test_backends_lists_options(cli: Cli) -> None:
    listed = {b["name"]: b["options"] for b in json.loads(cli("backends", "--json")[1])}
    assert "kernels" in listed["c"]
    assert listed["simulator"] == {}
    assert "kernels of spiked linears" in cli("backends")[1]
