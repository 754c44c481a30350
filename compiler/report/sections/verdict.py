"""Accuracy, additions and energy against the source, in words and numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...cli.output import si
from ..blocks import Block, Missing, Table, Text
from ..folder import NO_MEASURE, Folder

# Perplexity over that of the source, and what it is called.
_CLOSENESS = (
    (1.03, "close to its source"),
    (1.15, "somewhat worse than its source"),
    (2.0, "clearly worse than its source"),
    (float("inf"), "far from its source"),
)


def blocks(folder: Folder) -> list[Block]:
    """A few sentences, the figures behind them, and evaluations that were saved."""
    metrics = folder.metrics
    if not metrics:
        return [Missing(NO_MEASURE)]
    found: list[Block] = [Text(words, strong=i == 0) for i, words in enumerate(sentences(metrics))]
    found.append(Table("", ("", "spike program", "source", ""), list(_rows(metrics))))
    if results := list(_results(folder)):
        found.append(Table("Evaluations", ("task", "figure", "value"), results))
    return found


def closeness(ratio: float) -> str:
    """A perplexity ratio in words."""
    return next(words for most, words in _CLOSENESS if ratio <= most)


def sentences(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The verdict."""
    like = metrics.get("likeness")
    if like:
        yield (
            f"The spike program is {closeness(like['ratio'])}: perplexity is {like['ratio']:.3f} times the source's "
            f"({like['perplexity']:.2f} against {like['source_perplexity']:.2f}), and in {like['agreement']:.1%} of "
            f"places both hold the same token likeliest."
        )
    for name, what in (("linear", "Linear layers spend"), ("attention", "Attention spends")):
        one = metrics["firing"][name]
        if one["macs"]:
            yield f"{what} {one['additions_per_weight']:.2f} additions for each multiply-add of the source."
    columns = [c for c in metrics.get("energy", []) if c["source_joules"] and c["joules"]]
    if columns:
        yield "Energy: " + "; ".join(_against(c) for c in columns) + "."


def _against(column: Mapping[str, Any]) -> str:
    factor = column["source_joules"] / column["joules"]
    much = f"{factor:.1f} times less" if factor >= 1 else f"{1 / factor:.1f} times more"
    return f"{much} than the source by the column “{column['rule']}”"


def _rows(metrics: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    like = metrics.get("likeness")
    if like:
        told = f"{like['tokens']:,} tokens, {metrics['text']}"
        yield "perplexity", f"{like['perplexity']:.2f}", f"{like['source_perplexity']:.2f}", told
        yield "same likeliest token", f"{like['agreement']:.1%}", "", f"KL {like['kl']:.3f} nats a token"
    for name in ("linear", "attention"):
        one = metrics["firing"][name]
        if one["macs"]:
            rate = f"firing rate {one['firing_rate']:.3f} in {one['time_steps']} time steps"
            yield f"{name}: additions a multiply-add", f"{one['additions_per_weight']:.3f}", "1 multiply-add", rate
            fire = f"{one['nonzero']:.1%} fire at all"
            yield f"{name}: spikes an activation", f"{one['spikes_per_activation']:.3f}", "", fire
    for column in metrics.get("energy", []):
        ours, theirs = si(column["joules"], "J"), si(column["source_joules"], "J")
        yield f"energy a token, {column['rule']}", ours, theirs, column["assumes"]


def _results(folder: Folder) -> Iterator[tuple[object, ...]]:
    for path in sorted((folder.artifact.folder / "results").glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            figures = sorted(content["metrics"].items())
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            yield path.stem, "cannot be read as a result", ""
            continue
        for name, value in figures:
            yield path.stem, name, value if isinstance(value, int | float) else json.dumps(value)
