"""The C itself: no warnings, every op shown, the same bytes each time, and no multiplication where it says so."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sdllm.backends.c.build import FLAGS, OBJECTS, compiler, library

from ...toys import toy_decoder
from .common import emit

MODEL = {"spiked_attention": True, "folded": True}
SOURCES = (*OBJECTS, "run")

# Instructions that multiply, in x86 and ARM. lea, which may scale an address, is none of them.
MULTIPLIES = re.compile(
    r"\b(v?p?i?mul\w*|v?pm(add|ul)\w*|vpdp\w*|v?fn?m(add|sub)\w*|[us]?ml[as]l?\w*|[us]dot|v?dpp[sd])\b"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit(*toy_decoder(1, **MODEL), tmp_path_factory.mktemp("code"), kernels="add")


def quiet(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SOURCES)
def test_no_warnings(name: str, folder: Path) -> None:
    quiet([*compiler(), *FLAGS, "-Werror", "-O1", "-fsyntax-only", str(folder / f"{name}.c")])


ZIG = [sys.executable, "-m", "ziglang", "cc"]


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
@pytest.mark.parametrize("target", ["x86_64-linux-gnu", "aarch64-linux-gnu", "aarch64-macos"])
@pytest.mark.parametrize("name", SOURCES)
def test_no_warnings_from_clang(name: str, target: str, folder: Path, tmp_path: Path) -> None:
    flags = ["-target", target, "-Werror", "-O1", "-c", str(folder / f"{name}.c"), "-o", str(tmp_path / "object.o")]
    quiet([*ZIG, *FLAGS, *flags])


@pytest.mark.skipif(shutil.which("objdump") is None, reason="there is no objdump")
def test_accumulation_does_not_multiply(folder: Path) -> None:
    """In every accumulate_ function of the library as users build it, while other functions do multiply."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", str(library(folder))], capture_output=True, text=True, check=True
    ).stdout
    functions = {
        found[1]: found[2] for found in re.finditer(r"^[0-9a-f]+ <(\w+)[^>]*>:\n((?:.+\n)+)", text, re.MULTILINE)
    }
    adding = {name: body for name, body in functions.items() if name.startswith("accumulate_")}
    kinds = {name.removeprefix("accumulate_").partition("_")[0] for name in adding}
    assert kinds == {"nibbles", "bytes", "row", "train", "column", "common", "value"}
    for name, body in adding.items():
        assert re.search(r"\bv?padd|\badd\b", body), name
        found = MULTIPLIES.search(body)
        assert found is None, f"{name}: {found[0] if found else ''}"
    assert any(MULTIPLIES.search(body) for name, body in functions.items() if "read_tile" in name or "added" in name)


def test_the_pure_add_kernels_are_all_that_add_uses(folder: Path) -> None:
    text = (folder / "model.c").read_text()
    kernels = re.findall(r"static const struct sd_linear \w+ = \{(\w+),", text)
    assert kernels
    assert set(kernels) == {"SD_ADDED"}
    attention = re.findall(r"static const struct sd_attention \w+ = \{.*, ([^,]+), ([^,]+), \w+\};", text)
    assert attention
    assert all(pointer.startswith("&spikes") for found in attention for pointer in found)


def test_products_by_themselves_add_too(tmp_path: Path) -> None:
    for kernels, adding in (("add", True), ("dense", False)):
        folder = emit(*toy_decoder(1, **MODEL), tmp_path / kernels, kernels=kernels, fuse="false")
        calls = re.findall(r"sd_matmul\(.*, ([^,]+)\);", (folder / "model.c").read_text())
        assert calls
        assert all(last.startswith("&spikes") == adding for last in calls)


def test_the_text_shows_each_op(folder: Path) -> None:
    program, _ = toy_decoder(1, **MODEL)
    text = (folder / "model.c").read_text()
    shown = set(re.findall(r"^ +/\* %([\w.]+)", text, re.MULTILINE))
    views = {"nn.reshape", "nn.permute"}  # which only look at memory otherwise
    assert shown >= {op.result.name for op in program.ops if op.name not in views}
    assert "static void layer_0(struct sd_thread *t) {" in text


def test_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = emit(*toy_decoder(1, **MODEL), tmp_path, kernels="add")
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert files == {p.name: p.read_bytes() for p in again.iterdir()}
