"""Whatever is wrong with the input: exit code 2 (130 for Ctrl-C), one line, and no half-made folder."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import SMALL

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def refused(cli: Cli, model: Path, out: Path, *more: object) -> str:
    """Compile, expecting a refusal in one line that leaves nothing behind; gives the line."""
    code, told, said = cli("compile", model, "-o", out, *SMALL, *more)
    assert code == 2
    assert told == ""
    assert said.startswith("sdllm-compile: ")
    assert said.count("\n") == 1
    assert not out.exists()
    assert not list(out.parent.glob("*.partial"))
    return said


def test_truncated_weights(cli: Cli, copy: Path, tmp_path: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "model.safetensors" in refused(cli, copy, tmp_path / "o")


def test_unknown_architecture(cli: Cli, copy: Path, tmp_path: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "lamma"}))
    assert "lamma" in refused(cli, copy, tmp_path / "o")


def test_pickles_are_never_opened(cli: Cli, copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'exit 1'\ntR.")
    assert "pickle" in refused(cli, copy, tmp_path / "o")


def test_remote_code_is_refused_unless_asked(cli: Cli, copy: Path, tmp_path: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    assert "--trust-remote-code" in refused(cli, copy, tmp_path / "o").replace(
        "trust_remote_code", "--trust-remote-code"
    )


def test_nan_weights(cli: Cli, copy: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name][3, 4] = torch.nan
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert name in refused(cli, copy, tmp_path / "o")


def test_names_that_nobody_provides(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    assert "there is: sdllm" in refused(cli, tiny, tmp_path / "o", "--recipe", "sdlm")
    assert "'rotat'" in refused(cli, tiny, tmp_path / "o", "--pipeline", "rotat")
    assert "'simulater'" in refused(cli, tiny, tmp_path / "o", "--backend", "simulater")
    assert "no option 'bit'" in refused(cli, tiny, tmp_path / "o", "--pipeline", "quantize-weights{bit=4}")
    assert "--explain" in refused(cli, tiny, tmp_path / "o", "--explain", "recode")


def test_an_output_that_exists_is_kept(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "precious").write_text("mine")
    code, _, said = cli("compile", tiny, "-o", tmp_path / "o", *SMALL)
    assert code == 2
    assert "--force" in said
    assert (tmp_path / "o" / "precious").read_text() == "mine"


@pytest.mark.parametrize("what", ["a model's folder", "a file", ".", "/"])
def test_force_replaces_compiled_models_alone(
    cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """`compile MODEL -o MODEL --force` must not cost the model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, tmp_path / "model")
    (tmp_path / "file").write_text("mine")
    out = {"a model's folder": "model", "a file": "file"}.get(what, what)
    code, _, said = cli("compile", tmp_path / "model", "-o", out, *SMALL, "--force")
    assert (code, said.count("\n")) == (2, 1)
    assert "is no compiled model" in said
    assert {p.name for p in tmp_path.iterdir()} == {"model", "file"}
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_force_replaces_what_a_link_stands_for(cli: Cli, tiny: Path, compiled: Path, tmp_path: Path) -> None:
    shutil.copytree(compiled, tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    given = ("compile", tiny, "-o", tmp_path / "link", *SMALL, "--recipe", "dense", "--no-measure")
    assert cli(*given)[0] == 2
    assert cli(*given, "--force")[0] == 0
    assert {p.name for p in tmp_path.iterdir()} == {"real", "link"}
    assert "spike.linear" not in (tmp_path / "real" / "program.spike").read_text()


def test_parents_made_for_a_failed_compile_go_too(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    assert cli("compile", tiny, "-o", tmp_path / "a" / "b" / "c", *SMALL, "--pipeline", "recode")[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_a_failed_compile_keeps_what_force_would_replace(
    cli: Cli, tiny: Path, compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(compiled, tmp_path / "o")
    (tmp_path / "o" / "precious").write_text("mine")
    _fail_at_write(monkeypatch, KeyboardInterrupt())
    code, _, _ = cli("compile", tiny, "-o", tmp_path / "o", *SMALL, "--force")
    assert code == 130
    assert (tmp_path / "o" / "precious").read_text() == "mine"


def _fail_at_write(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("sdllm.compiler.compile.write_program", fail)


def test_full_disk(cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_at_write(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    assert "disk is full" in refused(cli, tiny, tmp_path / "o")


def test_ctrl_c(cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_at_write(monkeypatch, KeyboardInterrupt())
    code, _, said = cli("compile", tiny, "-o", tmp_path / "o", *SMALL)
    assert code == 130
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_inside_a_lazy_import(cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers raises an error of its own where an import of it is interrupted."""
    wrapped = ModuleNotFoundError("Could not import module 'X'")
    wrapped.__cause__ = KeyboardInterrupt()
    _fail_at_write(monkeypatch, wrapped)
    code, _, said = cli("compile", tiny, "-o", tmp_path / "o", *SMALL)
    assert (code, said.count("\n")) == (130, 1)


@pytest.mark.parametrize("damage", ["version", "truncated", "op version", "manifest"])
def test_compiled_folders_that_cannot_be_read(cli: Cli, compiled: Path, tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree(compiled, tmp_path / "c"))
    program, manifest = folder / "program.spike", folder / "manifest.json"
    text = program.read_text()
    if damage == "version":
        program.write_text(text.replace("spike-ir 1", "spike-ir 99", 1))
    elif damage == "truncated":
        program.write_text(text[: len(text) // 2])
    elif damage == "op version":
        program.write_text(text.replace("spike.encode=1", "spike.encode=7", 1))
    else:
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2', 1))
    code, _, said = cli("run", folder, "--ids", "1,2")
    assert code == 2
    assert said.count("\n") == 1
    assert str(manifest if damage == "manifest" else program) in said


@pytest.mark.parametrize(
    "call",
    [
        ("inspct", "out"),
        ("compile", "model"),
        ("run", "out"),
        ("run", "out", "--ids", "1", "--prompt", "x"),
        ("compile", "model", "-o", "o", "--recipe", "sdllm", "--pipeline", "rotate"),
    ],
)
def test_wrong_calls_get_one_line(cli: Cli, capsys: pytest.CaptureFixture[str], call: tuple[str, ...]) -> None:
    try:
        code, _, said = cli(*call)
    except SystemExit as stopped:  # what argparse does
        code, said = stopped.code, capsys.readouterr().err
    assert code == 2
    assert said.startswith("sdllm-compile")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--ids", "5,99999"), ("--ids", "-1"), ("--ids", ""), ("--max-tokens", "0"), ("--temperature", "nan"),
        ("--top-k", "-1"), ("--top-p", "1.5"), ("--seed", "-1"),
    ],
)  # fmt: skip
def test_options_of_run_that_make_no_sense(cli: Cli, compiled: Path, option: str, value: str) -> None:
    given = (option, value) if option == "--ids" else ("--ids", "1", option, value)
    code, _, said = cli("run", compiled, *given)
    assert code == 2
    assert said.count("\n") == 1


def test_encoders_do_not_write(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    for call in (
        ("demo", "--model", tmp_path / "bert", "--recipe", "dense", "--folder", tmp_path),
        ("run", tmp_path / "out-dense", "--ids", "1"),
    ):
        code, _, said = cli(*call)
        assert (code, said.count("\n")) == (2, 1)
        assert "is an encoder" in said


def test_prompts_that_do_not_fit(cli: Cli, compiled: Path) -> None:
    code, _, said = cli("run", compiled, "--ids", ",".join("1" * 64))
    assert (code, "context" in said) == (2, True)
    assert cli("run", compiled, "--ids", "1,x")[0] == 2
    assert cli("run", compiled, "--ids", "1", "--backend", "onnx")[0] == 2
    assert cli("run", compiled / "simulator", "--ids", "1")[0] == 2


@pytest.mark.parametrize(
    ("file", "text"),
    [("manifest.json", "[]"), ("manifest.json", '{"format": 1}'), ("manifest.json", "{"), ("metrics.json", "{")],
)
def test_damaged_json_of_a_compiled_folder(cli: Cli, compiled: Path, tmp_path: Path, file: str, text: str) -> None:
    folder = Path(shutil.copytree(compiled, tmp_path / "c"))
    (folder / file).write_text(text)
    code, _, said = cli("inspect", folder)
    assert (code, said.count("\n")) == (2, 1)
    assert str(folder / file) in said
