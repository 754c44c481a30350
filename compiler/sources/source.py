"""A source: one model's config, weights by parameter name, tokenizer and provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedConfig, PreTrainedModel

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Source:
    """A model as it was found.

    `tensors` maps every parameter (and persistent buffer) of `skeleton` to its numbers, read when asked for:
    float32 where the file holds floats. Reading raises InputError where a file is damaged or holds NaN or Inf.
    Of tied parameters each name works; `canonical` says which one stands for all. `unused` are tensors of the
    checkpoint that the model has no place for: a user should be told of them.
    """

    config: PreTrainedConfig
    skeleton: PreTrainedModel
    tensors: Mapping[str, Array]
    generation: Mapping[str, Any]
    origin: Mapping[str, Any]
    files: tuple[Path, ...]
    load_tokenizer: Callable[[], Any]
    aliases: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def canonical(self, name: str) -> str:
        """The one name that stands for a tied parameter (itself where it is not tied)."""
        return self.aliases.get(name, name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter, without reading it."""
        return self._shapes[name]

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(t.shape) for name, t in self.skeleton.state_dict().items()}

    def tokenizer(self) -> Any | None:
        """The Hugging Face tokenizer, or None where the source has none."""
        return self.load_tokenizer()

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Kind, name, revision and licence of the source, and the sha256 of each of its files (read on first use)."""
        return {**self.origin, "files": {path.name: file_sha256(path) for path in self.files}}


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def finite(name: str, values: Array, where: Path) -> Array:
    """`values` unchanged; raises InputError if one of them is NaN or infinite."""
    from ..errors import InputError

    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(np.size(values) - np.isfinite(values).sum())
        raise InputError(
            f"{where}: {bad} of {values.size} numbers of '{name}' are NaN or Inf; fix or retrain the checkpoint"
        )
    return values
