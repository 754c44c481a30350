"""Task files: JSON lines of two shapes, or plain text; and the names they are known by.

    {"ctx": "Question: …\\nAnswer:", "choices": ["yes", "no"], "gold": 0}     which continuation is likeliest
    {"ctxs": ["… so Sarah", "… so Maria"], "cont": "was late.", "gold": 1}   after which context it is likeliest

A continuation is put after its context with one space between. Other keys are ignored.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

DATA = "SDLLM_DATA"

# Where a known task's file lies in the folder that SDLLM_DATA names. Any other name works with --data.
KNOWN = {
    "wikitext2": "wikitext2/test.hf_joined.txt",
    **{
        name: f"eval/{name}.jsonl"
        for name in (
            "piqa", "arc_easy", "arc_challenge", "hellaswag", "winogrande", "boolq", "lambada", "openbookqa",
        )
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One question: (context, continuation) pairs, of which `gold` should be the likeliest.

    `lengths` are the choices' lengths in characters, without the space before them; None where the contexts differ
    and not the continuation, so that there is nothing to normalise by.
    """

    pairs: tuple[tuple[str, str], ...]
    gold: int
    lengths: tuple[int, ...] | None
    where: str


def task_file(task: str, data: Path | None) -> Path:
    """The file of a task: the one given, or a known task's in the folder SDLLM_DATA names. Raises InputError."""
    if data is None:
        if task not in KNOWN:
            raise InputError(f"--task {task}: is none of {', '.join(KNOWN)}; give its file with --data")
        folder = os.environ.get(DATA)
        if not folder:
            raise InputError(f"--task {task}: give its file with --data, or name a folder with {KNOWN[task]} by {DATA}")
        data = Path(folder) / KNOWN[task]
    if not data.is_file():
        raise InputError(f"{data}: there is no such file; give the task's file with --data")
    return data


def is_items(path: Path) -> bool:
    """Whether a file holds items; any other is text, whose perplexity is measured."""
    return path.suffix.lower() in (".jsonl", ".json")


def read_text(path: Path) -> str:
    """A file's text, line ends as they are. Raises InputError."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def read_items(path: Path, limit: int | None = None) -> list[Item]:
    """The first `limit` items of a file, or all. Raises InputError that names file and line."""
    found: list[Item] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if limit is not None and len(found) == limit:
            break
        if line.strip():
            found.append(_item(line, f"{path}:{number}"))
    if not found:
        raise InputError(f"{path}: holds no items")
    return found


def _item(line: str, where: str) -> Item:
    try:
        given = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: is not JSON ({error})") from error
    if not isinstance(given, dict):
        raise InputError(f"{where}: is no JSON object")
    if {"ctx", "choices"} <= given.keys():
        context, choices = _text(given["ctx"], "ctx", where), _texts(given["choices"], "choices", where)
        if not all(choices):
            raise InputError(f"{where}: choice {choices.index('')} is empty")
        pairs, lengths = tuple((context, f" {c}") for c in choices), tuple(map(len, choices))
        return Item(pairs, _gold(given, len(pairs), where), lengths, where)
    if {"ctxs", "cont"} <= given.keys():
        contexts, after = _texts(given["ctxs"], "ctxs", where), _text(given["cont"], "cont", where)
        if not after:
            raise InputError(f"{where}: 'cont' is empty")
        pairs = tuple((c, f" {after}") for c in contexts)
        return Item(pairs, _gold(given, len(pairs), where), None, where)
    raise InputError(f"{where}: has neither 'ctx' and 'choices' nor 'ctxs' and 'cont' (it has {', '.join(given)})")


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: '{name}' is no text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: '{name}' holds half a character ({error.reason})") from error
    return value


def _texts(value: Any, name: str, where: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}: '{name}' is no list of texts")
    return [_text(v, name, where) for v in value]


def _gold(given: dict[str, Any], choices: int, where: str) -> int:
    gold = given.get("gold")
    if not isinstance(gold, int) or isinstance(gold, bool) or not 0 <= gold < choices:
        raise InputError(f"{where}: 'gold' is {gold!r}, not one of 0 to {choices - 1}")
    return gold
