"""Checkpoints of a run: whole or not at all, so that a run killed at any moment goes on exactly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .settings import differing

PROGRESS = "progress.json"


def write(folder: Path, accelerator: Any, progress: Mapping[str, Any]) -> None:
    """Weights, optimiser and random states by accelerate, with `progress` beside them; then the one before goes."""
    step = int(progress["step"])
    partial, whole = folder / "partial", folder / f"step-{step:08}"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    if accelerator.is_main_process:
        (partial / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
        shutil.rmtree(whole, ignore_errors=True)
        partial.rename(whole)
        for old in folder.glob("step-*"):
            if old != whole:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()


def newest(folder: Path) -> Path | None:
    """The last whole checkpoint."""
    found = sorted(p for p in folder.glob("step-*") if (p / PROGRESS).exists())
    return found[-1] if found else None


def read(checkpoint: Path, accelerator: Any) -> dict[str, Any]:
    """Load it into what was prepared; gives its progress. Raises InputError where it is damaged."""
    try:
        accelerator.load_state(str(checkpoint))
        progress: dict[str, Any] = json.loads((checkpoint / PROGRESS).read_text(encoding="utf-8"))
    except Exception as error:  # torch and safetensors raise many kinds
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{checkpoint}: cannot be read ({said}); delete it to start again") from error
    return progress


def agree(folder: Path, now: Mapping[str, Any]) -> None:
    """Note the settings of a run in its folder. Raises InputError where it was begun with others."""
    file = folder / "settings.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: is damaged; delete {folder} to start again") from error
    if others := differing(before, now):
        raise InputError(
            f"{folder}: was begun with another {others[0]} ({before.get(others[0])}, now {now.get(others[0])}); "
            "give the same to go on, or delete it to start again"
        )
