"""Calibration tokens: from a text file, or written by the model itself from a fixed seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import Program, Store
from ..ir.interpreter import Interpreter
from .errors import InputError

Tokens = NDArray[np.int64]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Tokens to calibrate on and, apart from them, tokens to measure on: i64 [N, L] each; and where they come from."""

    tokens: Tokens
    held_out: Tokens
    origin: str

    @property
    def sha256(self) -> str:
        """Hash of both, for the manifest."""
        return hashlib.sha256(self.tokens.tobytes() + self.held_out.tobytes()).hexdigest()


def from_file(path: Path, tokenizer: Any, sequences: int, length: int, held_out: int) -> Calibration:
    """The first windows of a text: `sequences` to calibrate on, the next `held_out` to measure on.

    Raises InputError if the file cannot be read, is too short, or the model has no tokenizer.
    """
    ids = tokenize(path, tokenizer)
    windows = len(ids) // length
    if windows < 2:
        raise InputError(f"{path}: {len(ids)} tokens make no two windows of {length}; give more text or --length")
    kept = min(held_out, max(1, windows // 5))
    used = min(sequences, windows - kept)
    whole = ids[: (used + kept) * length].reshape(-1, length)
    return Calibration(whole[:used], whole[used:], f"file {path.name}")


def tokenize(path: Path, tokenizer: Any) -> Tokens:
    """A text file as tokens i64 [n], without special ones. Raises InputError."""
    if tokenizer is None:
        raise InputError(f"{path}: the model has no tokenizer to read text with; leave --calibration out")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return np.asarray(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int64)


def self_written(
    program: Program,
    store: Store,
    *,
    seed: int,
    sequences: int,
    length: int,
    held_out: int,
    generation: Mapping[str, Any],
    progress: Progress = lambda done, total, what: None,
) -> Calibration:
    """Text the model writes from a fixed seed, at temperature 1; what an encoder cannot write is random tokens.

    Every sequence starts with the model's first token where it has one, else with a random one, so that calibration
    needs no data at all.
    """
    rows = vocabulary(program)
    total = sequences + held_out
    generator = torch.Generator().manual_seed(seed)
    if "logits" not in program.outputs or not program.meta.get("causal", True):
        tokens = torch.randint(0, rows, (total, length), generator=generator).numpy()
        return Calibration(tokens[:sequences], tokens[sequences:], f"random tokens, seed {seed}")
    start = _first_tokens(generation.get("bos_token_id"), total, rows, generator)
    tokens = _write(Interpreter(program, store), start, length, generator, progress).numpy()
    return Calibration(tokens[:sequences], tokens[sequences:], f"written by the model, seed {seed}")


def vocabulary(program: Program) -> int:
    """How many token ids there are."""
    ids = next(op for op in program.ops if op.name == "nn.embed" and op.operands[0].name == "ids")
    return program.weights[ids.weights[0]].type.shape[0]


def _first_tokens(first: object, rows: int, vocabulary: int, generator: torch.Generator) -> torch.Tensor:
    if isinstance(first, int) and 0 <= first < vocabulary:
        return torch.full((rows, 1), first, dtype=torch.int64)
    return torch.randint(0, vocabulary, (rows, 1), generator=generator)


def _write(
    interpreter: Interpreter, tokens: torch.Tensor, length: int, generator: torch.Generator, progress: Progress
) -> torch.Tensor:
    state = interpreter.new_state(len(tokens))
    for position in range(1, length):
        progress(position, length, "tokens of calibration text written")
        logits = interpreter.run({"ids": tokens[:, -1:]}, state)["logits"][:, -1]
        following = torch.multinomial(torch.softmax(logits, -1), 1, generator=generator)
        tokens = torch.cat((tokens, following), 1)
    return tokens
