"""Weights in safetensors files: found, checked by their headers, read one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..errors import InputError
from .json_file import read_json
from .source import Array, finite


@dataclass(frozen=True)
class CheckpointFiles:
    """Which file holds which tensor, with shapes, as the headers say."""

    where: Mapping[str, Path]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def files(self) -> set[Path]:
        """All files."""
        return set(self.where.values())


class Checkpoint(Mapping[str, Array]):
    """Parameter names to numbers; a tensor is read each time it is asked for and not kept."""

    def __init__(self, files: CheckpointFiles, entries: Mapping[str, str]) -> None:
        self._files, self._entries = files, entries

    def __getitem__(self, name: str) -> Array:
        key = self._entries[name]
        path = self._files.where[key]
        try:
            with safe_open(path, framework="pt") as f:
                tensor = f.get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: '{key}' cannot be read ({error}); download the file again") from error
        values: Array = (tensor.to(torch.float32) if tensor.is_floating_point() else tensor).numpy()
        return finite(key, values, path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def find_checkpoint(folder: Path) -> CheckpointFiles:
    """The safetensors of a folder. Raises InputError for missing shards, damaged files and pickles."""
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if indexes:
        listed = read_json(indexes[0]).get("weight_map")
        if not isinstance(listed, dict):
            raise InputError(f"{indexes[0]}: has no weight_map; download it again")
        shards = sorted(set(listed.values()))
        missing = [s for s in shards if not (folder / s).exists()]
        if missing:
            raise InputError(
                f"{folder}: {len(missing)} of {len(shards)} shards are missing ({missing[0]} …); download them"
            )
        paths = [folder / s for s in shards]
    else:
        paths = [p for p in (folder / "model.safetensors",) if p.exists()] or sorted(folder.glob("*.safetensors"))
    if not paths:
        raise InputError(_no_weights(folder))
    return _headers(paths)


def _no_weights(folder: Path) -> str:
    pickles = [p.name for ending in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in sorted(folder.glob(ending))]
    if pickles:
        return (
            f"{folder}: holds pickle weights only ({pickles[0]}), which can run code and are never opened; "
            "convert them with save_pretrained, which writes safetensors"
        )
    return f"{folder}: holds no weights (*.safetensors); download them"


def _headers(paths: list[Path]) -> CheckpointFiles:
    where: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for path in paths:
        try:
            with safe_open(path, framework="pt") as f:
                for key in f.keys():  # noqa: SIM118 (not a dict)
                    where[key] = path
                    shapes[key] = tuple(f.get_slice(key).get_shape())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: is damaged or cut short ({error}); download it again") from error
    return CheckpointFiles(where, shapes)
