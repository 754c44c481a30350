"""The commands and the Python in README and docs run as they are written, on the tiny model."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from sdllm.compiler.cli import main

from .conftest import TEXT

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(m[1], m[2]) for m in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(page: Path) -> list[list[str]]:
    """Every sdllm-compile line of a page's blocks, comments cut, continued lines joined."""
    joined = "\n".join(text for language, text in blocks(page) if language in ("", "sh")).replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.startswith("sdllm-compile ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


# docs/write-a-backend.md is followed by test_tutorial.py.
WITH_COMMANDS = [p for p in PAGES if commands(p) and p.name != "write-a-backend.md"]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda p: p.name)
def test_commands_run(page: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    for command in commands(page):
        words = [str(tiny) if word == "path/to/model" else word for word in command]
        if "-o" in words and (tmp_path / words[words.index("-o") + 1]).exists():
            words.append("--force")  # a page may show several ways to make the same folder
        if words[0] == "distill":
            words += ["--length", "16", "--hidden", "16", "--tokens", "500"]  # not the hour it would take
        assert main(words) == 0, " ".join(command)


@pytest.mark.parametrize("page", [p for p in PAGES if any(b[0] == "python" for b in blocks(p))], ids=lambda p: p.name)
def test_python_runs(page: Path, tiny: Path, tmp_path: Path) -> None:
    for number, (language, text) in enumerate(blocks(page)):
        if language == "python":
            names = {"MODEL": str(tiny), "OUT": str(tmp_path / f"out{number}")}
            exec(compile(text, f"{page.name}, block {number}", "exec"), names)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
