"""The backends under examples/: small, written against the public interface alone, and (slow) installed and tried."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted((ROOT / "examples").glob("*-backend"))
PUBLIC = {"container", "conformance", "counting", "interface", "mapping"}
ASIDE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def lines_of_code(file: Path) -> int:
    """Lines with code on them: no blanks, comments or docstrings."""
    text, found = file.read_text(), set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in ASIDE:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            found.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(found)


def test_both_are_here() -> None:
    assert [p.name for p in PACKAGES] == ["nir-backend", "snntorch-backend"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_it_is_small_and_keeps_to_the_public_interface(package: Path) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    (target,) = project["entry-points"]["sdllm.backends"].values()
    module, _, name = target.partition(":")
    files = sorted((package / "src").rglob("*.py"))
    assert f"class {name}:" in (package / "src" / module / "__init__.py").read_text()
    assert 0 < sum(map(lines_of_code, files)) <= 250
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sdllm."):
                _, folder, *rest = (node.module or "").split(".")
                assert folder == "ir" or (folder == "backends" and rest[0] in PUBLIC), node.module
                assert not any(alias.name.startswith("_") for alias in node.names)


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_it_installs_and_passes(package: Path, own_environment: dict[str, str], tiny: Path, tmp_path: Path) -> None:
    """Conformance, its own tests, and a model compiled, run and inspected by its name."""
    name = package.name.removesuffix("-backend")
    pipeline = "quantize-weights,insert-encoders{grid=symmetric,code=ternary:7,levels=7,attention=false}"
    for command in (
        f"pip install --quiet '{package}[test]'",
        f"pytest -q -p no:cacheprovider -c /dev/null --rootdir {tmp_path} {package / 'tests'}",
        f"sdllm-compile backends | grep '{name} .*sdllm-{name} 0.1.0'",
        f"sdllm-compile compile {tiny} -o out --backend {name} --pipeline '{pipeline}'",
        "sdllm-compile run out --prompt 'the cat' --max-tokens 4",
        f"sdllm-compile inspect out --backend {name} --module mlp.down_proj",
    ):
        done = subprocess.run(
            ["sh", "-ec", command], cwd=tmp_path, env=own_environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
