"""The command line as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.compiler.cli.main import COMMANDS

from ..conftest import SMALL, TEXT

Cli = Callable[..., tuple[int, str, str]]


def test_compile_leaves_a_whole_folder(compiled: Path) -> None:
    names = {p.name for p in compiled.iterdir()}
    assert {
        "manifest.json",
        "program.spike",
        "weights.safetensors",
        "metrics.json",
        "machine.json",
        "simulator",
    } <= names
    assert {"tokenizer.json", "tokenizer_config.json"} <= names
    assert not list(compiled.parent.glob("*.partial"))
    metrics = json.loads((compiled / "metrics.json").read_text())
    assert metrics["likeness"]["tokens"] > 0
    assert 0 < metrics["firing"]["linear"]["firing_rate"] < 1
    assert metrics["firing"]["linear"]["time_steps"] == 7
    shares = [s["share"] for s in metrics["coverage"]]
    assert abs(sum(shares) - 1) < 1e-9


def test_a_recipe_with_options_goes_on_where_it_was(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    recipe = "spikellm{pipeline=omniquant,preset=tiny,group=8}"
    keep = tmp_path / "keep"
    given = ("compile", tiny, "--recipe", recipe, "--keep", keep, *SMALL)
    assert cli(*given, "-o", tmp_path / "a")[0] == 0
    parts = sorted(keep.iterdir())
    assert len(parts) == 2
    parts[1].unlink()
    code, told, _ = cli(*given, "-o", tmp_path / "b")
    assert code == 0
    assert "ACE per weight" in told
    manifests = [json.loads((tmp_path / out / "manifest.json").read_text()) for out in "ab"]
    assert manifests[0] == manifests[1]
    assert manifests[0]["recipe"] == recipe
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["firing"]["linear"]["ace"] == pytest.approx(4 * 4 * 1.1, rel=0.02)
    assert cli("compile", tiny, "-o", tmp_path / "c", "--recipe", "spikellm{T=3}")[0] == 2


@pytest.mark.parametrize("backend", ["simulator", "reference"])
def test_run_streams_the_same_text_as_its_json(cli: Cli, compiled: Path, backend: str) -> None:
    given = ("run", compiled, "--prompt", "the cat", "--backend", backend, "--max-tokens", 6, "--no-chat")
    code, streamed, _ = cli(*given)
    assert code == 0
    code, told, _ = cli(*given, "--json")
    answer = json.loads(told)
    assert code == 0
    assert streamed.rstrip("\n") == answer["text"].rstrip("\n")
    assert 0 < len(answer["tokens"]) <= 6
    assert answer["spikes_per_token"] > 0


def test_run_ids_sampling_is_seeded(cli: Cli, compiled: Path) -> None:
    given = (
        "run",
        compiled,
        "--ids",
        "5,6,7",
        "--max-tokens",
        5,
        "--temperature",
        1.5,
        "--top-k",
        50,
        "--backend",
        "reference",
    )
    first, again, other = (cli(*given, "--seed", seed)[1] for seed in (1, 1, 2))
    assert first == again != other


def test_verify_passes_and_sees_a_flipped_bit(cli: Cli, compiled: Path, tmp_path: Path) -> None:
    import shutil

    assert cli("verify", compiled)[0] == 0
    damaged = tmp_path / "damaged"
    shutil.copytree(compiled, damaged)
    weights = damaged / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    code, told, _ = cli("verify", damaged, "--json")
    assert code == 1
    assert json.loads(told)[0]["detail"] == "weights.safetensors differs from the manifest"


def test_inspect_shows_text_layers_and_coverage(cli: Cli, compiled: Path) -> None:
    text = cli("inspect", compiled, "--text")[1]
    assert text == (compiled / "program.spike").read_text()
    layers = cli("inspect", compiled, "--layers")[1]
    assert "model.layers.1.mlp.down_proj" in layers
    shown = json.loads(cli("inspect", compiled, "--json")[1])
    assert shown["ops"]["spike.linear"] == 14
    table = cli("inspect", compiled)[1]
    assert "linear layers on spikes" in table
    assert "softmax" in table
    assert "spike.read_out" in cli("inspect", compiled, "--module", "layers.0.mlp.up")[1]


@pytest.mark.parametrize("options", [[], ["--text"], ["--module", "mlp"], ["--layers"]])
def test_inspect_gives_json_of_everything(cli: Cli, compiled: Path, options: list[str]) -> None:
    assert json.loads(cli("inspect", compiled, "--json", *options)[1])


def test_json_stands_alone_on_stdout(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    code, told, beside = cli(
        "compile", tiny, "-o", tmp_path / "o", *SMALL, "--pipeline", "fold-norms", "--no-measure", "--json",
        "--print-after-change", "--explain", "fold-norms",
    )  # fmt: skip
    assert code == 0
    assert json.loads(told)["out"] == str(tmp_path / "o")
    assert "// after pass 1, fold-norms" in beside


def test_lists_are_json_too(cli: Cli) -> None:
    backends = {b["name"]: b for b in json.loads(cli("backends", "--json")[1])}
    assert {"reference", "simulator"} <= set(backends)
    assert all(not b["error"] for b in backends.values())
    passes = {p["name"] for p in json.loads(cli("passes", "--json")[1])}
    assert {"fold-norms", "rotate", "halve-steps", "recode"} <= passes
    assert {"dense", "sdllm"} <= {r["name"] for r in json.loads(cli("recipes", "--json")[1])}
    assert "quantile-shifted ReLU" in cli("passes", "clip-membranes")[1]


def test_pass_options_of_the_command_line(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    dumps, half, whole = tmp_path / "dumps", tmp_path / "half", tmp_path / "whole"
    code, told, _ = cli(
        "compile", tiny, "-o", half, *SMALL, "--stop-after", "rotate", "--dump-dir", dumps, "--print-after-change",
        "--explain", "rotate", "--check-numerics", "--no-measure",
    )  # fmt: skip
    assert code == 0
    assert [p.name for p in sorted(dumps.iterdir())] == [
        "00-captured.spike", "01-fold-norms.spike", "02-fold-scales.spike", "03-rotate.spike",
    ]  # fmt: skip
    assert "// after pass 3, rotate" in told
    assert "(program): residual stream of 32 rotated: Hadamard 32 x 1" in told
    assert (half / "program.spike").read_text() == (dumps / "03-rotate.spike").read_text()
    code, _, _ = cli("compile", half, "-o", whole, *SMALL, "--start-from", "quantize-weights", "--no-measure")
    assert code == 0
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["pipeline"][0].startswith("quantize-weights")
    assert manifest["earlier"] == ["fold-norms", "fold-scales", "rotate{strict=false}"]
    assert "goes on from" in manifest["notes"][0]
    assert "spike.linear" in (whole / "program.spike").read_text()


def test_check_numerics_stops_and_names_a_module(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    given = ("compile", tiny, "-o", tmp_path / "o", *SMALL, "--check-numerics", "0.01")
    code, _, said = cli(*given, "--pipeline", "quantize-weights{bits=2},insert-encoders{levels=3}")
    assert code == 2
    assert "KL to the source" in said
    assert "model.layers." in said
    assert not (tmp_path / "o").exists()


def test_a_length_that_rotary_positions_are_fixed_at_is_said(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    import shutil

    model = Path(shutil.copytree(tiny, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    (model / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}))
    given = ("compile", model, "-o", tmp_path / "o", *SMALL, "--recipe", "dense", "--no-measure", "--rope-length", 80)
    code, told, _ = cli(*given)
    assert code == 0
    assert "fixed as for 80 tokens" in told


def test_calibration_from_a_file(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    code, _, _ = cli("compile", tiny, "-o", tmp_path / "o", *SMALL, "--calibration", text, "--no-measure")
    assert code == 0
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert manifest["calibration"]["origin"] == "file text.txt"
    assert manifest["calibration"]["shape"] == [4, 16]


def test_bare_form_is_compile(cli: Cli, tmp_path: Path) -> None:
    code, _, said = cli(tmp_path / "nothing", "-o", tmp_path / "o")
    assert code == 2
    assert str(tmp_path / "nothing") in said


def test_help_needs_neither_torch_nor_transformers() -> None:
    """What keeps --help quick; the time itself is for benchmarks/startup.py to say."""
    script = (
        "import sys\nfrom sdllm.compiler.cli import main\n"
        "for command in {commands!r}:\n"
        "    try: main([command, '--help'])\n"
        "    except SystemExit as done: assert done.code == 0\n"
        "heavy = {{'torch', 'transformers', 'numpy', 'rich'}} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script.format(commands=COMMANDS)], check=True, capture_output=True)


def test_listing_backends_needs_no_torch() -> None:
    script = "import sys\nfrom sdllm.compiler.cli import main\nmain(['backends'])\nassert 'torch' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_python_face(tiny: Path, tmp_path: Path) -> None:
    import numpy as np
    import sdllm

    (tmp_path / "text").write_text(TEXT)
    artifact = sdllm.compile(
        str(tiny), tmp_path / "o", recipe="dense", sequences=2, length=8, backends="reference",
        calibration=str(tmp_path / "text"),
    )  # fmt: skip
    again = sdllm.load(tmp_path / "o")
    assert again.program == artifact.program
    logits = again.runner().run(np.array([[1, 2, 3]]))["logits"]
    assert logits.shape[:2] == (1, 3)
    assert sdllm.__version__
