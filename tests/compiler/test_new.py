"""new backend: a package that passes what it claims, and names that cannot be."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.compiler.errors import InputError
from sdllm.compiler.scaffold import names, render, write_backend

Cli = Callable[..., tuple[int, str, str]]


def test_the_package_is_whole(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, told, said = cli("new", "backend", "my-chip", "--json")
    assert (code, said) == (0, "")
    folder = tmp_path / "sdllm-my-chip"
    assert json.loads(told)["folder"] == folder.name
    assert sorted(p.name for p in folder.iterdir()) == sorted(json.loads(told)["files"])
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["sdllm.backends"] == {"my-chip": "sdllm_my_chip:MyChipBackend"}
    assert project["tool"]["setuptools"]["py-modules"] == ["sdllm_my_chip"]
    code_text = (folder / "sdllm_my_chip.py").read_text()
    compile(code_text, "sdllm_my_chip.py", "exec")
    assert "class MyChipBackend:" in code_text
    assert not any("{{" in p.read_text() or "{%" in p.read_text() for p in folder.iterdir())


def test_the_same_package_each_time() -> None:
    assert render(names("mine")) == render(names("mine"))


@pytest.mark.parametrize("name", ["Mine", "1chip", "a_b", "", "class", "a--b", "../a"])
def test_names_that_cannot_be(name: str, cli: Cli, tmp_path: Path) -> None:
    code, told, said = cli("new", "backend", name, "-o", tmp_path / "x")
    assert (code, told, said.count("\n")) == (2, "", 1)
    assert f"'{name}' is no name for a backend" in said
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken(cli: Cli, tmp_path: Path) -> None:
    code, _, said = cli("new", "backend", "c", "-o", tmp_path / "x")
    assert code == 2
    assert "provides a backend 'c' already; give another name" in said


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    (tmp_path / "file").touch()
    for out in ("there", "file"):
        with pytest.raises(InputError, match="exists already; give another -o"):
            write_backend("mine", tmp_path / out)
    (tmp_path / "empty").mkdir()
    assert all(path.exists() for path in write_backend("mine", tmp_path / "empty"))
    (tmp_path / "other.partial").mkdir()
    with pytest.raises(InputError, match="remove it"):
        write_backend("mine", tmp_path / "other")
