"""Colours and bars are for terminals; pipes and NO_COLOR get plain text."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from sdllm.ir import print_program

from ..toys import toy_decoder


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    """Two programs that differ in one number."""
    text = print_program(toy_decoder(1)[0])
    paths = [tmp_path / "a.spike", tmp_path / "b.spike"]
    paths[0].write_text(text)
    paths[1].write_text(text.replace("eps = 1e-05", "eps = 0.001"))
    return [str(p) for p in paths]


def on_terminal(*words: str, **environment: str) -> str:
    """What a command prints where stdout is a terminal."""
    leader, follower = pty.openpty()
    environ = {**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm-256color", **environment}
    command = [sys.executable, "-m", "sdllm.compiler.cli", *words]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=environ) as process:
        os.close(follower)
        told = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            told += part
        assert process.wait() == 0
    os.close(leader)
    return told.decode()


def test_terminals_get_colours_unless_they_say_no(sides: list[str]) -> None:
    told = on_terminal("diff", *sides)
    assert "\x1b[31m- nn.rms_norm" in told
    assert "\x1b[32m+ nn.rms_norm" in told
    plain = on_terminal("diff", *sides, NO_COLOR="1")
    assert "- nn.rms_norm" in plain
    assert "\x1b[3" not in plain


def test_pipes_get_plain_text(sides: list[str]) -> None:
    command = [sys.executable, "-m", "sdllm.compiler.cli", "diff", *sides]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "- nn.rms_norm" in told.stdout
    assert "\x1b" not in told.stdout + told.stderr
