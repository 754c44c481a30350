"""Text files as packed sequences of tokens, and the order a run reads them in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Tokens = NDArray[np.int64]
Rows = NDArray[np.int64]

END = "<|endoftext|>"


@dataclass(frozen=True)
class Corpus:
    """Sequences i64 [N, L] to train on, others [M, L] to measure on; bytes of text a token; hash of the files."""

    train: Tokens
    held_out: Tokens
    bytes_per_token: float
    sha256: str

    def rows(self, step: int, size: int, seed: int) -> Rows:
        """The sequences of update `step`, i64 [size]: each pass over the text has an order of its own."""
        count = len(self.train)
        places = np.arange(step * size, (step + 1) * size)
        orders = {e: np.random.default_rng((seed, int(e))).permutation(count) for e in np.unique(places // count)}
        return np.array([orders[p // count][p % count] for p in places], dtype=np.int64)


def read_texts(paths: Sequence[Path]) -> list[str]:
    """The files' texts. Raises InputError for one that cannot be read as UTF-8 or is empty."""
    found = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
        if not text.strip():
            raise InputError(f"{path}: is empty; give a file with text")
        found.append(text)
    return found


def pack(texts: Sequence[str], tokenizer: Any, length: int, held_out: int) -> Corpus:
    """Texts one after the other, an end token after each where there is one, cut into sequences; the last are held out.

    At most a tenth is held out. Raises InputError where there is too little text.
    """
    ids: list[int] = []
    end = tokenizer.eos_token_id
    for text in texts:
        ids += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids += [end] if isinstance(end, int) else []
    whole = np.asarray(ids[: len(ids) // length * length], dtype=np.int64).reshape(-1, length)
    if len(whole) < 2:
        raise InputError(f"--data: {len(ids)} tokens make no two sequences of {length}; give more text")
    kept = min(held_out, max(1, len(whole) // 10))
    size = sum(len(t.encode()) for t in texts)
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return Corpus(whole[:-kept], whole[-kept:], size / len(ids), digest)


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer of so many tokens, the last an end token, trained on the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, bos_token=END)
