"""What benchmarks that compile many pipelines and score them on a text share: options, trials, and lines of a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sdllm.compiler.calibration import tokenize
from sdllm.compiler.compile import Request, prepare
from sdllm.compiler.evaluation.compare import paired_bootstrap
from sdllm.compiler.evaluation.perplexity import WINDOW, windows
from sdllm.compiler.memory import keep_freed_memory
from sdllm.compiler.search import Outcome, Trials
from sdllm.compiler.ui import reporter

ROTATE = "fold-norms,fold-scales,rotate{strict=false}"


@dataclass(frozen=True)
class Row:
    """One measured pipeline."""

    curve: str
    point: str
    weights: str
    pipeline: str

    @property
    def name(self) -> str:
        """`SDLLM, clipped, tolerance 0.05, W4`."""
        return ", ".join(part for part in (self.curve, self.point, self.weights) if part)


def options(about: str | None, only: str) -> argparse.ArgumentParser:
    """A parser of what to score on what; `only` says what its words choose rows by."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder, .gguf file or hub id")
    parser.add_argument("text", type=Path, help="text to score on")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, help="text for passes to measure on; default: self-written")
    parser.add_argument("--sequences", type=int, default=32, help="sequences of it")
    parser.add_argument("--length", type=int, default=128, help="tokens of each")
    parser.add_argument("--seed", type=int, default=0, help="seed of rotations and of self-written text")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--window", type=int, default=WINDOW)
    parser.add_argument("--only", nargs="*", default=[], help=only)
    return parser


def seeded(pipeline: str, seed: int) -> str:
    """The pipeline with rotations drawn from the seed; 0 is what rotate draws from by itself, or as it is told."""
    return pipeline.replace("rotate{", f"rotate{{seed={seed},") if seed else pipeline


@contextmanager
def trials(args: argparse.Namespace) -> Iterator[tuple[Trials, Outcome]]:
    """Trials of what was asked for, kept in `args.out`, and the source's outcome, which is printed."""
    keep_freed_memory()
    ui = reporter()
    request = Request(
        args.model,
        Path(),
        calibration=args.calibration,
        seed=args.seed,
        sequences=args.sequences,
        length=args.length,
    )
    prepared = prepare(request, ui)
    ids = tokenize(args.text, prepared.model.tokenizer).tolist()
    scored = windows(ids, args.window, args.windows, str(args.text))
    found = Trials(prepared, scored, args.out / "trials", seed=args.seed, progress=ui.progress)
    source = found.source()
    told = f"source: perplexity {source.perplexity:.3f} on {len(scored)} windows of {args.window} tokens"
    print(told, flush=True)
    yield found, source
    ui.close()


def line(row: Row, found: Outcome, source: Outcome) -> dict[str, Any]:
    """Everything known of a row; the interval is of the ratio, by paired bootstrap over windows."""
    ratio = found.perplexity / source.perplexity
    interval = [ratio, ratio]
    if len(found.losses) > 1:
        logs = paired_bootstrap(
            "log ratio", np.array(source.losses), np.array(found.losses), lambda m: m, seed=0, resamples=10_000
        )
        interval = [float(np.exp(logs.low)), float(np.exp(logs.high))]
    return {**asdict(row), "perplexity": found.perplexity, "ratio": ratio, "interval": interval, **asdict(found)}


def told(args: argparse.Namespace, source: Outcome, table: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON of a run."""
    return {
        "windows": args.windows,
        "window": args.window,
        "text": args.text.name,
        "calibration": {
            "text": args.calibration.name if args.calibration else None,
            "sequences": args.sequences,
            "length": args.length,
        },
        "seed": args.seed,
        "source": asdict(source),
        "rows": table,
    }
