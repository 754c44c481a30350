"""Emitting and running programs as C in tests."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdllm.backends.c import CBackend
from sdllm.backends.c.runner import CRunner
from sdllm.ir import IRError, Program, Store

# What a processor may have; those it has not are left out by `isas`.
EVERY = ("portable", "avx2", "avx512", "avx512vnni", "neon")


def emit(program: Program, store: Store, out: Path, **options: str) -> Path:
    """The emitted folder, for a short context unless told otherwise."""
    CBackend().emit(program, store, out, {"context": "16", **options})
    return out


def run(program: Program, store: Store, out: Path, inputs: Mapping[str, Any], **options: str) -> tuple[Any, Any]:
    """Outputs of the emitted program for torch inputs by name, and what it counted."""
    runner = CRunner(emit(program, store, out, **options))
    outputs = runner.forward({name: value.numpy() for name, value in inputs.items()})
    return outputs, list(runner.stats().counts)


def isas(folder: Path) -> list[str]:
    """Names of the kernels this processor can run."""
    found = []
    for name in EVERY:
        with contextlib.suppress(IRError):
            found.append(CRunner(folder, isa=name).isa)
    assert "portable" in found
    return found
