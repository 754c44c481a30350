"""backends, passes and recipes say who provides each; one that does not load stands there with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.backends.registry import provided

Cli = Callable[..., tuple[int, str, str]]

CODE = """
class Half:
    name = "half"
    summary = "half a backend"

def raises():
    raise RuntimeError("no chip is there")

class Raises:
    def __init__(self):
        raise RuntimeError("no chip is there")
"""
ENTRIES = """
[sdllm.backends]
half = plugged:Half
raises = plugged:Raises
missing = not_installed_at_all:X

[sdllm.passes]
odd-pass = plugged:Half

[sdllm.recipes]
odd-recipe = plugged:nothing
"""


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package in which everything is wrong, installed."""
    (tmp_path / "plugged.py").write_text(CODE)
    info = tmp_path / "plugged-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    provided.cache_clear()
    yield
    provided.cache_clear()


WRONG = {
    "backends": {
        "half": "half (from plugged 2.5) is no backend: Half has no supports, emit, load",
        "raises": "raises (from plugged 2.5) does not load: no chip is there",
        "missing": "missing (from plugged 2.5) does not load: No module named 'not_installed_at_all'",
    },
    "passes": {"odd-pass": "pass 'odd-pass' is no sdllm.passes.Pass"},
    "recipes": {
        "odd-recipe": "odd-recipe (from plugged 2.5) does not load: module 'plugged' has no attribute 'nothing'"
    },
}


@pytest.mark.parametrize("command", WRONG)
@pytest.mark.usefixtures("plugged")
def test_what_does_not_load_is_listed_with_its_reason(command: str, cli: Cli) -> None:
    code, told, said = cli(command, "--json")
    assert (code, said) == (0, "")
    found = {entry["name"]: entry for entry in json.loads(told)}
    for name, reason in WRONG[command].items():
        assert (found[name]["provider"], found[name]["version"], found[name]["error"]) == ("plugged", "2.5", reason)
    ours = [entry for entry in found.values() if entry["provider"] == "sdllm"]
    assert len(ours) > 2
    assert not any(entry["error"] for entry in ours)
    code, text, said = cli(command)
    assert (code, said) == (0, "")
    assert all(reason in text for reason in WRONG[command].values())
    assert "plugged 2.5" in text


@pytest.mark.usefixtures("plugged")
def test_asked_for_by_name_it_is_one_line(cli: Cli, tmp_path: Path) -> None:
    code, _, said = cli("passes", "odd-pass")
    assert (code, said) == (2, "sdllm-compile: pass 'odd-pass' is no sdllm.passes.Pass\n")
    code, _, said = cli("compile", tmp_path / "none", "-o", tmp_path / "out", "--backend", "half")
    assert (code, said) == (2, f"sdllm-compile: {WRONG['backends']['half']}\n")
