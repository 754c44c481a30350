"""One evaluation: a subject and a task in, a result out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..artifact import sha256
from ..errors import InputError
from ..ui import Quiet
from .accuracy import metrics, outcomes
from .pairs import PairEncoder, prefix_token
from .perplexity import WINDOW, losses, perplexity, windows
from .results import FORMAT
from .scoring import BATCH_TOKENS, input_of, score
from .subject import Subject
from .tasks import Item, is_items, read_items, read_text


@dataclass(frozen=True, slots=True)
class Task:
    """What to evaluate on. `limit` is the most items, or windows; `window` the tokens of a window, by default 2048 or
    the model's context where that is shorter."""

    name: str
    path: Path
    limit: int | None = None
    window: int | None = None
    batch_tokens: int = BATCH_TOKENS

    def label(self, backend: str) -> str:
        """A name for its result: what differs between results that stand side by side."""
        parts = [self.name, backend]
        parts += [f"window{self.window}"] if self.window is not None else []
        parts += [f"first{self.limit}"] if self.limit is not None else []
        return ".".join(parts)


def evaluate(subject: Subject, task: Task, ui: Quiet) -> dict[str, Any]:
    """Evaluate; items are in the result, for the caller to drop. Raises InputError."""
    found = _choices(subject, task, ui) if is_items(task.path) else _perplexity(subject, task, ui)
    packages = ("sdllm", "torch", "transformers", "tokenizers", "numpy")
    return {
        "format": FORMAT,
        "task": task.name,
        "data": {"file": task.path.name, "sha256": sha256(task.path)},
        "limit": task.limit,
        "model": dict(subject.identity),
        "backend": subject.backend,
        "versions": {name: version(name) for name in packages},
        **found,
    }


def _choices(subject: Subject, task: Task, ui: Quiet) -> dict[str, Any]:
    with ui.stage("read the task"):
        items = read_items(task.path, task.limit)
        encoder = PairEncoder(subject.tokenizer, prefix_token(subject.tokenizer))
        pairs = [encoder.pair(before, after, item.where) for item in items for before, after in item.pairs]
        cut = _truncated(subject, items, [len(pair.context) + len(pair.continuation) for pair in pairs])
        for item, pair in zip(_repeated(items), pairs, strict=True):
            try:
                input_of(pair, subject.context)
            except InputError as error:
                raise InputError(f"{item.where}: {error}") from error
    with ui.stage("score"):
        scores = iter(score(subject.runner, pairs, subject.context, task.batch_tokens, ui.progress))
    rows: list[dict[str, Any]] = []
    for item in items:
        found = [next(scores) for _ in item.pairs]
        rows.append({"loglikelihoods": [s.likelihood for s in found], "gold": item.gold, **outcomes(item, found)})
    numbers = [{k: v for k, v in row.items() if isinstance(v, float)} for row in rows]
    return {
        "kind": "choices",
        "metrics": metrics(numbers),
        "count": len(items),
        "protocol": {"batch_tokens": task.batch_tokens, "context": subject.context, "truncated_pairs": cut},
        "items": rows,
    }


def _repeated(items: Sequence[Item]) -> list[Item]:
    return [item for item in items for _ in item.pairs]


def _truncated(subject: Subject, items: Sequence[Item], lengths: Sequence[int]) -> int:
    return 0 if subject.context is None else sum(length > subject.context + 1 for length in lengths)


def _perplexity(subject: Subject, task: Task, ui: Quiet) -> dict[str, Any]:
    length = _window(subject, task)
    with ui.stage("read the task"):
        text = read_text(task.path)
        ids = subject.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        tokens = windows(ids, length, task.limit, str(task.path))
    with ui.stage("score"):
        sums = losses(subject.runner, tokens, ui.progress)
    found = perplexity(sums, length)
    return {
        "kind": "perplexity",
        "metrics": {"perplexity": found.perplexity, "perplexity_stderr": found.standard_error, "loss": found.loss},
        "count": len(tokens),
        "protocol": {
            "window": length,
            "predicted_tokens": len(tokens) * (length - 1),
            "text_tokens": len(ids),
            "first_token": "none added",
        },
        "items": [{"loss": total / (length - 1)} for total in sums],
    }


def _window(subject: Subject, task: Task) -> int:
    if task.window is None:
        return min(WINDOW, subject.context or WINDOW)
    if task.window < 2:
        raise InputError(f"--window {task.window}: must be at least 2")
    if subject.context is not None and task.window > subject.context:
        raise InputError(f"--window {task.window}: the model's context is {subject.context}")
    return task.window
