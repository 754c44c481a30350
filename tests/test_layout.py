"""Arrows point one way, and every folder is in the package."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_READ = {
    "ir": {"ir"},
    "passes": {"passes", "ir"},
    "backends": {"backends", "ir"},
    "compiler": {"compiler", "passes", "backends", "ir"},
}


def _imports(file: Path, folder: str) -> set[str]:
    """The top-level folders a module imports from, by relative imports or by name."""
    depth = len(file.relative_to(ROOT / folder).parts)
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth + 1:
            found.update([(node.module or "").split(".")[0]] if node.module else [a.name for a in node.names])
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add(folder)
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
        found.update(n.split(".")[1] for n in names if n.startswith("sdllm."))
    return found


@pytest.mark.parametrize("folder", MAY_READ)
def test_arrows_point_one_way(folder: str) -> None:
    for file in sorted((ROOT / folder).rglob("*.py")):
        if (ROOT / "compiler" / "face") in file.parents:
            continue  # sdllm/__init__.py, which stands above all four
        assert _imports(file, folder) <= MAY_READ[folder], file


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {"sdllm"}
    for top in MAY_READ:
        for init in (ROOT / top).rglob("__init__.py"):
            if init.parent != ROOT / "compiler" / "face":
                folders.add(".".join(["sdllm", *init.parent.relative_to(ROOT).parts]))
    assert set(listed) == folders
