"""Log-likelihoods of continuations: longest first, padded batches, each distinct input and long context run once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...backends.interface import Branching, Runner, Serial
from ..errors import InputError
from .pairs import Pair

BATCH_TOKENS = 2048  # of logits in memory at once: 400 MB at a vocabulary of 49,152
WORTH = 64  # tokens saved that make up for choices of one context not being batched with others
ALONE = 8  # tokens of a context whose logits nobody needs, where nothing is batched anyway

Progress = Callable[[int, int, str], None]
Row = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """The natural logarithm of a continuation's probability, summed over its tokens, and whether each of them is the
    likeliest at its place."""

    likelihood: float
    greedy: bool


def score(
    runner: Runner,
    pairs: Sequence[Pair],
    context: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = lambda done, total, what: None,
) -> list[Score]:
    """Score every pair, in the order given.

    What does not fit into `context` positions loses its oldest tokens. Pairs that need the same input, such as
    choices of one token after one context, share one run of it; and choices after one long context the run of that,
    if the runner can branch. Raises InputError if a continuation alone is too long.
    """
    wanted: dict[Row, list[int]] = {}
    contexts: dict[Row, Row] = {}
    for index, pair in enumerate(pairs):
        row = input_of(pair, context)
        wanted.setdefault(row, []).append(index)
        contexts[row] = tuple(pair.context[:-1]) if row[0] == pair.context[0] else ()
    found: dict[int, Score] = {}
    done, total = 0, sum(map(len, wanted))
    for shared, rows in _groups(contexts, runner).items():
        for batch in _batches(rows, batch_tokens):
            progress(done, total, "tokens")
            for row, logits in zip(batch, _run(runner, batch, shared), strict=True):
                for index in wanted[row]:
                    continuation = pairs[index].continuation
                    stop = len(row) - len(shared)
                    found[index] = _score(logits[stop - len(continuation) : stop], continuation)
            done += sum(map(len, batch))
    return [found[index] for index in range(len(pairs))]


def _groups(contexts: dict[Row, Row], runner: Runner) -> dict[Row, list[Row]]:
    """Rows, longest first, by the tokens that are run once for all of them: those of a context, or none."""
    branching, serial = isinstance(runner, Branching), isinstance(runner, Serial)
    times = Counter(contexts.values())
    groups: dict[Row, list[Row]] = {}
    for row in sorted(contexts, key=lambda row: (-len(row), row)):
        shared = contexts[row]
        worth = branching and ((times[shared] - 1) * len(shared) >= WORTH or (serial and len(shared) >= ALONE))
        groups.setdefault(shared if worth else (), []).append(row)
    return groups


def input_of(pair: Pair, context: int | None) -> Row:
    """The tokens to run: all but the last, of which only the logits before it are needed. Raises InputError."""
    if context is not None and len(pair.continuation) > context:
        raise InputError(f"a continuation of {len(pair.continuation)} tokens is longer than the context, {context}")
    whole = (*pair.context, *pair.continuation)
    return whole[:-1] if context is None else whole[-(context + 1) : -1]


def _batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[Sequence[Row]]:
    """Rows, longest first, in batches that hold so many tokens with their padding (one row at least)."""
    start = 0
    while start < len(rows):
        stop = start + max(1, batch_tokens // len(rows[start]))
        yield rows[start:stop]
        start = stop


def _run(runner: Runner, batch: Sequence[Row], shared: Row) -> Iterable[NDArray[np.float32]]:
    """Logits of each row after the tokens that all begin with. Rows are padded on the right where they run side by
    side; what stands in the padding is hidden, and its logits mean nothing."""
    state = None
    if shared and isinstance(runner, Branching):
        state = runner.branch(np.array(shared, dtype=np.int64), len(batch))
    if isinstance(runner, Serial):
        states = (runner.new_state() for _ in batch) if state is None else runner.apart(state)
        tokens = (np.array([row[len(shared) :]], dtype=np.int64) for row in batch)
        return (runner.run(ids, one)["logits"][0] for ids, one in zip(tokens, states, strict=True))
    state = runner.new_state(len(batch)) if state is None else state
    longest = len(batch[0])
    ids = np.array([[*row, *(row[-1:] * (longest - len(row)))] for row in batch], dtype=np.int64)
    lengths = np.array([len(row) for row in batch])
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    return runner.run(ids[:, len(shared) :], state, mask=None if mask.all() else mask)["logits"]


def _score(logits: NDArray[np.float32], continuation: Sequence[int]) -> Score:
    values = torch.log_softmax(torch.from_numpy(logits), -1)
    tokens = torch.tensor(continuation)
    likelihood = values.gather(-1, tokens[:, None]).double().sum().item()
    return Score(likelihood, bool((values.argmax(-1) == tokens).all()))
