"""The same inputs give the same bytes, in another process with another hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sdllm.compiler.artifact import signed_files

from ..conftest import SMALL


def test_compiling_twice_gives_the_same_bytes(tiny: Path, compiled: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    command = [sys.executable, "-m", "sdllm.compiler.cli", "compile", str(tiny), "-o", str(out), *SMALL]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "4711"})
    assert signed_files(out) == signed_files(compiled)
    assert (out / "manifest.json").read_bytes() == (compiled / "manifest.json").read_bytes()
