"""inspect --backend: op by op, what an emitted folder made of the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.backends.mapping import MAP
from sdllm.backends.simulator import SimulatorBackend
from sdllm.compiler.artifact import open_artifact

from ..conftest import SMALL

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def emitted(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model for two backends."""
    from sdllm.compiler.cli import main

    out = tmp_path_factory.mktemp("outs") / "emitted"
    words = ["compile", str(tiny), "-o", str(out), *SMALL, "--no-measure", "--backend", "c,simulator"]
    assert main(words) == 0
    return out


@pytest.mark.parametrize("backend", ["c", "simulator"])
def test_every_op_is_told(backend: str, emitted: Path, cli: Cli) -> None:
    code, told, said = cli("inspect", emitted, "--backend", backend, "--json")
    assert (code, said) == (0, "")
    entries, program = json.loads(told), open_artifact(emitted).program
    assert [e["op"] for e in entries] == [op.result.name for op in program.ops]
    assert [e["module"] for e in entries] == [op.loc.module for op in program.ops]
    assert all(e["became"] for e in entries)
    text = (emitted / backend / ("model.py" if backend == "simulator" else "model.c")).read_text()
    lines = {line.strip() for line in text.splitlines()}
    for entry in entries:
        first = entry["became"].partition("; ")[0].rstrip(";")
        assert entry["became"].startswith(("in the call", "no call")) or any(first in line for line in lines), entry
    linear = next(e for e in entries if "spike.linear" in e["ir"])
    assert linear["loc"].startswith("modeling_llama.py:")


def test_some_modules_for_people(emitted: Path, cli: Cli) -> None:
    code, told, _ = cli("inspect", emitted, "--backend", "simulator", "--module", "layers.1.mlp.down_proj")
    assert code == 0
    first, *rest = told.splitlines()
    assert first.startswith("model.layers.1.mlp.down_proj  modeling_llama.py:")
    assert [line for line in rest if "= spike.linear" in line]
    assert [line for line in rest if "spikes.linear(" in line]


def test_what_is_not_there_is_said(compiled: Path, emitted: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("inspect", compiled, "--backend", "c")[::2] == (
        2, f"sdllm-compile: {compiled}: was not compiled for backend 'c' (it was for: simulator)\n"
    )  # fmt: skip
    code, _, said = cli("inspect", emitted, "--backend", "c", "--module", "layers.7")
    assert (code, said) == (2, "sdllm-compile: --module layers.7: no op of the program has that in its module path\n")
    text = (emitted / "c" / MAP).read_text()
    for damage, why in ((None, "does not say what became of each op"), ("[", "is no JSON"), ('["x"]', "is no list")):
        (emitted / "c" / MAP).unlink()
        if damage:
            (emitted / "c" / MAP).write_text(damage)
        code, _, said = cli("inspect", emitted, "--backend", "c")
        assert (code, said.count("\n")) == (2, 1)
        assert why in said
        (emitted / "c" / MAP).write_text(text)


def test_a_map_is_the_same_each_time(emitted: Path, tmp_path: Path) -> None:
    artifact = open_artifact(emitted)
    SimulatorBackend().emit(artifact.program, artifact.store, tmp_path, {})
    assert (tmp_path / MAP).read_bytes() == (emitted / "simulator" / MAP).read_bytes()
