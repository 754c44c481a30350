"""explain tells what the passes did to a module, and which rule came closest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.cli import main
from sdllm.compiler.explain import explain_module, explain_op

from ..conftest import SMALL

Cli = Callable[..., tuple[int, str, str]]


def test_the_story_is_that_of_the_passes(compiled: Path) -> None:
    artifact = open_artifact(compiled)
    found = explain_module(artifact, "layers.0.self_attn.q_proj")
    assert found.module == "model.layers.0.self_attn.q_proj"
    assert [c.ran for c in found.story or ()] == artifact.manifest["pipeline"]
    chapters = {c.ran.partition("{")[0]: c for c in found.story or ()}
    assert chapters["rotate"].rewritten == ["model.layers.0.self_attn.q_proj.weight"]
    assert [line.split()[0] for line in chapters["insert-encoders"].gone] == ["nn.linear"]
    assert "spike.linear" in [line.split()[0] for line in chapters["insert-encoders"].came]
    assert any("to ternary{T=7}" in note for note in chapters["halve-steps"].notes)
    assert chapters["fold-norms"].idle
    lines = [line.split()[0] for c in found.story or () for line in c.came]
    assert {"spike.encode", "spike.read_out"} <= set(lines)
    assert [v.on_spikes for v in found.verdicts] == [True] * len(found.ops)


def test_the_head_says_why_it_stays_float(compiled: Path) -> None:
    (verdict,) = explain_module(open_artifact(compiled), "lm_head").verdicts
    assert not verdict.on_spikes
    assert verdict.closest == "linear layer on spikes"
    assert "head" in str(verdict.failed)


@pytest.mark.parametrize(
    ("pipeline", "op", "closest", "failed"),
    [
        ("fold-norms", "nn.linear", "linear layer on spikes", "no pass insert-encoders"),
        ("fold-norms", "nn.attend", "attention on spikes", "no pass insert-encoders"),
        ("insert-encoders{attention=false}", "nn.attend", "attention on spikes", "attention=false"),
        ("insert-encoders", "nn.rms_norm", "linear layer on spikes", "no product with a matrix"),
    ],
)
def test_the_closest_rule(tiny: Path, tmp_path: Path, pipeline: str, op: str, closest: str, failed: str) -> None:
    out = tmp_path / "out"
    assert main(["compile", str(tiny), "-o", str(out), "--pipeline", pipeline, "--no-measure", *SMALL]) == 0
    artifact = open_artifact(out)
    chosen = next(o for o in artifact.program.ops if o.name == op)
    (verdict,) = explain_op(artifact, f"%{chosen.result.name}").verdicts
    assert (verdict.on_spikes, verdict.closest) == (False, closest)
    assert failed in str(verdict.failed)


def test_every_op_has_a_verdict(compiled: Path) -> None:
    artifact = open_artifact(compiled)
    for op in artifact.program.ops:
        (verdict,) = explain_op(artifact, op.result.name).verdicts
        assert verdict.on_spikes == (verdict.closest is None)
        assert verdict.why


def test_the_command(cli: Cli, compiled: Path, tmp_path: Path) -> None:
    code, told, _ = cli("explain", compiled, "--module", "layers.1.mlp.down_proj")
    assert code == 0
    assert "note: input of 64 rotated online" in told
    found = json.loads(cli("explain", compiled, "--module", "layers.1.mlp.down_proj", "--json")[1])
    assert found["module"] == "model.layers.1.mlp.down_proj"
    old = tmp_path / "old"
    shutil.copytree(compiled, old)
    (old / "journal.json").unlink()
    assert "no journal" in cli("explain", old, "--module", "lm_head")[1]


@pytest.mark.parametrize("words", [("--module", "mlp"), ("--module", "nothing"), ("--op", "%nothing")])
def test_bad_calls(cli: Cli, compiled: Path, words: tuple[str, ...]) -> None:
    code, _, said = cli("explain", compiled, *words)
    assert code == 2
    assert said.count("\n") == 1
