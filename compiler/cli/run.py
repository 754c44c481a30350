"""run: stream text from a compiled model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = "run a compiled model on a prompt and stream what it says"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("out", type=Path, help="compiled folder")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--prompt", help="text ('-': standard input)")
    given.add_argument("--ids", help="token ids, separated by commas; token ids are printed")
    parser.add_argument("--backend", help="backend to run it by (default: the first it was compiled for)")
    parser.add_argument("--max-tokens", type=int, default=128, help="most tokens to generate (default 128)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (the default): the likeliest token")
    parser.add_argument("--top-k", type=int, default=0, help="only the k likeliest (0: all)")
    parser.add_argument("--top-p", type=float, default=1.0, help="only the likeliest that make up this share")
    parser.add_argument("--seed", type=int, default=0, help="seed of sampling")
    parser.add_argument("--no-chat", action="store_true", help="do not wrap the prompt in the chat template")
    parser.add_argument("--stats", action="store_true", help="print tokens/s and spikes a token at the end, on stderr")


def run(args: argparse.Namespace) -> int:
    """Stream."""
    import time

    from ..artifact import open_artifact
    from ..calibration import vocabulary
    from ..errors import InputError
    from ..generate import Sampling, check_writes, generate, prompt_ids, stop_tokens, stream_text
    from ..ui import reporter

    artifact = open_artifact(args.out)
    check_writes(artifact.program, args.out)
    tokenizer = artifact.tokenizer()
    if args.ids is not None:
        ids = token_ids(args.ids, vocabulary(artifact.program))
    elif tokenizer is None:
        raise InputError(f"{args.out}: has no tokenizer; give --ids")
    else:
        text = sys.stdin.read() if args.prompt == "-" else args.prompt
        ids = prompt_ids(tokenizer, text, chat=not args.no_chat)
    ui = reporter()
    try:
        with ui.stage("load, and build if need be"):
            runner = artifact.runner(args.backend)
    finally:
        ui.close()
    sampling = Sampling(args.max_tokens, args.temperature, args.top_k, args.top_p, args.seed)
    stop = stop_tokens(artifact.manifest.get("generation", {}), tokenizer)
    tokens: list[int] = []
    times = [time.perf_counter()]

    def collected() -> Any:
        for token in generate(runner, ids, sampling, stop, artifact.program.meta.get("max_positions")):
            tokens.append(token)
            times.append(time.perf_counter())
            yield token

    pieces = stream_text(tokenizer, collected()) if args.ids is None else (f"{t} " for t in collected())
    text = ""
    for piece in pieces:
        text += piece
        if not args.json:
            print(piece, end="", flush=True)
    speed = _speed(len(ids), times)
    if args.json:
        from .output import print_json

        told = {"text": text, "prompt_tokens": len(ids), "tokens": tokens, "seconds": time.perf_counter() - times[0]}
        print_json({**told, **speed, **_spikes(runner, ids, tokens)})
        return 0
    print()
    if args.stats:
        _print_stats(len(ids), len(tokens), speed, _spikes(runner, ids, tokens))
    return 0


def _speed(prompt: int, times: list[float]) -> dict[str, float]:
    """Tokens/s up to the first token, and from there to the last: `times` are of the start and of each token."""
    found = {"prefill_tokens_per_second": prompt / (times[1] - times[0])} if len(times) > 1 else {}
    if len(times) > 2:
        found["decode_tokens_per_second"] = (len(times) - 2) / (times[-1] - times[1])
    return found


def _print_stats(prompt: int, made: int, speed: dict[str, float], spikes: dict[str, float]) -> None:
    line = [f"prompt: {prompt} tokens"]
    if "prefill_tokens_per_second" in speed:
        line.append(f"{speed['prefill_tokens_per_second']:.1f} tokens/s; then {made} tokens")
    if "decode_tokens_per_second" in speed:
        line.append(f"{speed['decode_tokens_per_second']:.1f} tokens/s")
    print(", ".join(line), file=sys.stderr)
    if spikes:
        each = f"{spikes['spikes_per_token']:,.0f} spikes, {spikes['additions_per_token']:,.0f} additions"
        print(f"a token: {each}", file=sys.stderr)


def token_ids(text: str, rows: int) -> list[int]:
    """Token ids as they are written on a command line. Raises InputError."""
    from ..errors import InputError

    try:
        ids = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--ids {text}: give integers separated by commas") from error
    if outside := [i for i in ids if not 0 <= i < rows]:
        raise InputError(f"--ids: {outside[0]} is no token id of this model (0 to {rows - 1})")
    return ids


def _spikes(runner: Any, ids: list[int], tokens: list[int]) -> dict[str, float]:
    """What a token cost; one that has not counted, so as to be timed, goes through them once more."""
    import numpy as np

    from ...backends.interface import Writing

    if isinstance(runner, Writing):
        runner.counting = True
        runner.reset()
        runner.prefill(np.array(ids))
        for token in tokens[:-1]:
            runner.step(token)
    stats = runner.stats()
    if not stats.tokens or not stats.counts:
        return {}
    return {
        "spikes_per_token": sum(c.spikes for c in stats.counts) / stats.tokens,
        "additions_per_token": sum(c.additions for c in stats.counts) / stats.tokens,
    }
