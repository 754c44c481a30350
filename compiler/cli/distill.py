"""distill: a student of binary spikes learns from a teacher and text, and is then a model like any other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .numbers import count

if TYPE_CHECKING:
    from ..distill import Settings

HELP = "train a binary spiking, softmax-free student (BiSpikCLM) of a teacher; `compile` takes it"
TERMS = "ea,saa,sfa,sta,hta"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("teacher", nargs="?", help="folder, .gguf file or hub id; none with --vocabulary")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write; OUT.training while it trains")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="TEXT", help="text files to learn from")
    parser.add_argument("--force", action="store_true", help="replace the output folder")
    size = parser.add_argument_group("size")
    size.add_argument("--layers", type=int, default=2, help="blocks (default 2)")
    size.add_argument("--hidden", type=int, default=128, help="width (default 128)")
    size.add_argument("--heads", type=int, default=4, help="attention heads (default 4)")
    size.add_argument("--ffn", type=int, default=0, help="width of the feed-forward layer (default 4 times --hidden)")
    size.add_argument("--vocabulary", type=int, default=0, help="without a teacher: train a BPE tokenizer of this size")
    kind = parser.add_argument_group("student")
    kind.add_argument("--steps", type=int, default=2, metavar="T", help="time steps, a power of two (default 2)")
    kind.add_argument("--style", choices=("opt", "llama"), default="opt", help="biases, LayerNorm; or gates, RMSNorm")
    kind.add_argument(
        "--block-output",
        choices=("spikes", "currents"),
        default="spikes",
        help="what blocks add to the residual: rates of neurons (as published) or mean currents",
    )
    kind.add_argument(
        "--spans",
        default="",
        metavar="N,A-B,all",
        help="for each head, how many tokens before the query it sees, as 1,2,3-9,all (default: all, as published)",
    )
    kind.add_argument("--score-threshold", type=int, default=1, help="coincidences that fire attention (default 1)")
    kind.add_argument("--value-threshold", type=int, default=1, help="the same after A·V (default 1)")
    kind.add_argument("--no-spikes", action="store_true", help="an ordinary decoder of the same size: the baseline")
    loss = parser.add_argument_group("loss")
    loss.add_argument(
        "--terms",
        help=f"terms of SpAD with their weights, as ea=0.2,sta,hta (default {TERMS} with the published weights; hta "
        "alone with --no-spikes or without a teacher)",
    )
    loss.add_argument("--temperature", type=float, default=2.0, help="of the term sta (default 2)")
    loss.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="run the teacher once, for its K likeliest tokens"
    )
    run_ = parser.add_argument_group("run")
    run_.add_argument("--tokens", default="1M", metavar="N", help="tokens to train on: 500k, 2M (default 1M)")
    run_.add_argument("--length", type=int, default=128, help="tokens of a sequence, the context (default 128)")
    run_.add_argument("--batch", type=int, default=16, help="sequences of an update, over all processes (default 16)")
    run_.add_argument(
        "--lr",
        type=float,
        default=0.0,
        help="highest learning rate (default 0.02, 0.01 with --spans, 0.005 without spikes)",
    )
    run_.add_argument("--warmup", type=float, default=0.1, help="share of the run in which it rises (default 0.1)")
    run_.add_argument("--clip", type=float, default=0.7, help="largest norm of the gradient (default 0.7)")
    run_.add_argument("--held-out", type=int, default=32, help="sequences kept to measure on (default 32)")
    run_.add_argument("--seed", type=int, default=0, help="seed of weights and order (default 0)")
    run_.add_argument("--checkpoint-minutes", type=float, default=2.0, help="minutes between checkpoints (default 2)")


def run(args: argparse.Namespace) -> int:
    """Train, then say what came out."""
    settings = _settings(args)
    settings.check()
    from ..distill import distill
    from ..ui import reporter
    from .output import print_json

    ui = reporter()
    try:
        done = distill(settings, args.out, ui, every=60 * args.checkpoint_minutes, force=args.force)
    except KeyboardInterrupt:
        print(f"sdllm-compile: interrupted; the same command goes on from {args.out}.training", file=sys.stderr)
        return 130
    finally:
        ui.close()
    if done.facts is None:
        return 0
    if args.json:
        print_json({"out": str(done.folder), **done.facts})
        return 0
    _print(done.folder, done.facts)
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    """Raises InputError."""
    from ..distill import Settings, parse_terms

    plain = args.no_spikes or args.teacher is None
    same = (
        "teacher", "vocabulary", "style", "layers", "hidden", "heads", "ffn", "steps", "block_output", "spans",
        "score_threshold", "value_threshold", "temperature", "length", "batch", "lr", "warmup", "clip", "seed",
        "top_k", "held_out",
    )  # fmt: skip
    return Settings(
        data=tuple(args.data),
        spikes=not args.no_spikes,
        terms=parse_terms(args.terms or ("hta" if plain else TERMS)),
        tokens=count("--tokens", args.tokens),
        **{name: getattr(args, name) for name in same},
    )


def _print(out: Path, facts: dict[str, Any] | Any) -> None:
    from ..distill.train import clock
    from .output import print_table

    rows = [
        ("held-out loss", f"{facts['held_out_loss']:.4f}", "nats a token"),
        ("bits per byte", f"{facts['held_out_bits_per_byte']:.4f}", "held out"),
        ("tokens", f"{facts['tokens']:,}", f"{facts['passes_over_text']} times the text"),
        ("parameters", f"{facts['parameters']:,}", ""),
        ("training", f"{facts['tokens_per_second']:,}", f"tokens/s on {facts['device']}, {clock(facts['seconds'])}"),
        ("peak memory", f"{facts['peak_rss_mb']:,.0f}", "MB"),
    ]
    print_table(f"{out.name}", ("", "value", ""), rows)
    print(f"written to {out}; next: sdllm-compile compile {out} -o SPIKES")
