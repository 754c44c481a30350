"""Generation: sampling from a runner, and token ids to text as they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.interface import Floats, Ids, Runner, Writing
from ..ir import Program
from .errors import InputError

# What a compiled folder says of text beside tokenizer.json (see `text_facts`).
TEXT = "text.json"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; temperature 0 takes the likeliest."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_tokens", 1, math.inf),
            ("temperature", 0, math.inf),
            ("top_k", 0, math.inf),
            ("top_p", 0, 1),
            ("seed", 0, math.inf),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} {getattr(self, name)}: must be {low} {'or more' if high > 1 else 'to 1'}")


def check_writes(program: Program, where: Path) -> None:
    """Raises InputError for an encoder."""
    if not program.meta.get("causal", True) or "logits" not in program.outputs:
        raise InputError(f"{where}: is an encoder and does not write text; use `sdllm.load` and its runner")


def generate(
    runner: Runner, prompt: Collection[int], sampling: Sampling, stop: Collection[int] = (), context: int | None = None
) -> Iterator[int]:
    """Token ids after a prompt, one by one, until a stop token (not given), the limit, or the context's end.

    Raises InputError for an empty prompt, or one that leaves no room in the context.
    """
    if not prompt:
        raise InputError("the prompt is empty; give at least one token")
    if isinstance(runner, Writing):
        context = min(context or runner.context, runner.context)
    if context is not None and len(prompt) >= context:
        raise InputError(f"the prompt has {len(prompt)} tokens, the model's context {context}; shorten it")
    random = np.random.default_rng(sampling.seed)
    run = _logits(runner)
    ids = np.array(list(prompt), dtype=np.int64)
    room = sampling.max_tokens if context is None else min(sampling.max_tokens, context - len(prompt))
    for _ in range(room):
        token = choose(run(ids), sampling, random)
        if token in stop:
            return
        yield token
        ids = np.array([token], dtype=np.int64)


def _logits(runner: Runner) -> Callable[[Ids], Floats]:
    """What runs tokens i64[S] after those before, and gives the last one's logits f32[V]."""
    if isinstance(runner, Writing):
        runner.reset()
        return runner.prefill
    state = runner.new_state(1)
    return lambda ids: runner.run(ids[None], state)["logits"][0, -1]


def choose(logits: NDArray[np.float32], sampling: Sampling, random: np.random.Generator) -> int:
    """One token id from logits [vocab]."""
    if sampling.temperature <= 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / sampling.temperature
    order = np.argsort(-scaled, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    p = np.exp(scaled[order] - scaled[order[0]])
    p /= p.sum()
    keep = np.concatenate(([True], np.cumsum(p)[:-1] < sampling.top_p))
    p = p[keep] / p[keep].sum()
    return int(random.choice(order[keep], p=p))


def prompt_ids(tokenizer: Any, prompt: str, *, chat: bool) -> list[int]:
    """A prompt's tokens; through the chat template where there is one and it is wanted."""
    if chat and getattr(tokenizer, "chat_template", None):
        return list(tokenizer(_conversation(tokenizer, prompt), add_special_tokens=False)["input_ids"])
    return list(tokenizer(prompt)["input_ids"])


def _conversation(tokenizer: Any, words: str) -> str:
    """A user's turn, the answer to come next."""
    messages = [{"role": "user", "content": words}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def text_facts(generation: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    """What a backend's program needs for text beside tokenizer.json: `stop` and `chat` of the file text.json."""
    return {"stop": sorted(stop_tokens(generation, tokenizer)), "chat": _chat_frame(tokenizer)}


def _chat_frame(tokenizer: Any) -> list[str] | None:
    """What the chat template puts before and after a user's words; None where it has another form, or there is none."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    words = "some words", "other\n words, more of them"
    try:
        first, second = (_conversation(tokenizer, w) for w in words)
    except Exception:  # a template is a program of the model's, and may fail in any way
        return None
    before, _, after = first.partition(words[0])
    return [before, after] if second == before + words[1] + after else None


def stop_tokens(generation: Mapping[str, Any], tokenizer: Any | None) -> set[int]:
    """The model's end tokens: those of its generation config, and its tokenizer's."""
    given = generation.get("eos_token_id")
    found = set(given if isinstance(given, list) else [given])
    found.add(getattr(tokenizer, "eos_token_id", None))
    return {t for t in found if isinstance(t, int)}


def stream_text(tokenizer: Any, ids: Iterator[int]) -> Iterator[str]:
    """Text as its tokens come; what a token leaves incomplete waits for the next."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        for token in ids:
            yield tokenizer.decode([token], skip_special_tokens=True)
        return
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    for token in ids:
        text = stream.step(backend, token)
        if text:
            yield text
