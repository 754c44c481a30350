"""calibrate-machine, and a compile that reads what it measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.backends.c import calibrate
from sdllm.backends.c.costs import FORMS, KERNELS, own_table, read

from ...conftest import SMALL

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small matrices in small caches, and a user without a table."""
    monkeypatch.setattr(calibrate, "SHAPES", dict.fromkeys(FORMS, ((64, 48),)))
    monkeypatch.setattr(calibrate, "_BYTES", 1 << 11)
    monkeypatch.setattr(calibrate, "_CACHES", 1 << 16)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sdllm.backends.c.costs.cache", lambda: tmp_path / "home" / "sdllm" / "c")


@pytest.mark.usefixtures("small")
def test_a_calibrated_machine_is_told_of(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    code, told, _ = cli("calibrate-machine")
    assert code == 0
    assert "rows 64 x 48" in told
    costs = read(own_table())
    assert {(c.kernel, c.form) for c in costs.curves} == {(k, f) for k in KERNELS for f in FORMS}

    out = tmp_path / "out"
    code, _, err = cli("compile", tiny, "-o", out, *SMALL, "--backend", "c")
    assert (code, err) == (0, "")
    manifest = json.loads((out / "manifest.json").read_text())["backends"]["c"]
    assert manifest["costs"] == costs.told
    assert json.loads((out / "machine.json").read_text())["costs"] == json.loads(own_table().read_text())
    metrics = json.loads((out / "metrics.json").read_text())
    shares = {line["module"]: line["nonzero"] for line in metrics["layers"] if line["op"] == "spike.linear"}
    assert manifest["linears"]
    for line in manifest["linears"]:
        assert line["nonzero"] == pytest.approx(shares[line["module"]], abs=6e-4)
        assert line["kernel"] == min(line["microseconds"], key=line["microseconds"].get)
    # What goes on from it without measuring has no rates of its own.
    again = tmp_path / "again"
    assert cli("compile", out, "-o", again, "--pipeline", "", "--backend", "c", "--no-measure", *SMALL)[0] == 0
    manifest = json.loads((again / "manifest.json").read_text())["backends"]["c"]
    assert {line["nonzero"] for line in manifest["linears"]} == {1.0}


@pytest.mark.usefixtures("small")
def test_a_damaged_table_ends_the_command(
    cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("nowhere.json", None), ("cut.json", '{"format": 1, "cur')):
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("SDLLM_COSTS", str(path))
        code, _, err = cli("compile", tiny, "-o", tmp_path / "out", *SMALL, "--backend", "c")
        assert code == 2
        assert err.startswith(f"sdllm-compile: {path}: ")
        assert err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_it_wants_a_file(cli: Cli, tmp_path: Path) -> None:
    assert cli("calibrate-machine", "-o", tmp_path)[::2] == (
        2,
        f"sdllm-compile: {tmp_path}: is a folder; give the name of a file\n",
    )


@pytest.mark.slow
def test_the_real_table(cli: Cli, tmp_path: Path) -> None:
    """Of this machine; a kernel that only adds is never quicker than one that multiplies, all inputs spiking."""
    path = tmp_path / "costs.json"
    assert cli("calibrate-machine", "-o", path)[0] == 0
    costs = read(path)
    for form in FORMS:
        assert costs.predict("dense", form, 576, 576, 1.0) < costs.predict("add", form, 576, 576, 1.0)
