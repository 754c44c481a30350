"""eval: perplexity and choice tasks, of a compiled folder or of its source."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "score a compiled folder or a source model on a task, or compare two results"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("model", nargs="?", help="compiled folder, or a folder, .gguf file or hub id")
    parser.add_argument("--task", help="wikitext2, piqa, arc_easy, … or, with --data, any name")
    parser.add_argument("--data", type=Path, help="task file: .jsonl holds items, any other text for perplexity")
    parser.add_argument("--limit", type=int, help="only the first N items, or windows of text")
    parser.add_argument("--window", type=int, help="tokens of a window of text (default 2048, or the model's context)")
    parser.add_argument("--backend", help="backend to run a compiled folder by (default reference)")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="tokens of a batch of items (default 2048)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="where to write the result (default OUT/results/)")
    parser.add_argument("--save-items", action="store_true", help="keep what each item scored, for --compare")
    parser.add_argument("--revision", help="revision of a hub id")
    parser.add_argument("--rope-length", type=int, help="length to fix rotary scaling at, where it depends on length")
    parser.add_argument("--trust-remote-code", action="store_true", help="let the model's repository run its code")
    compare = parser.add_argument_group("comparing")
    compare.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A.json", "B.json"), help="B minus A, with a 95 %% interval"
    )
    compare.add_argument("--seed", type=int, default=0, help="seed of the resampling (default 0)")
    compare.add_argument("--resamples", type=int, default=10_000, help="how often to resample (default 10000)")


def run(args: argparse.Namespace) -> int:
    """Evaluate or compare."""
    from ..errors import InputError

    for option in ("limit", "batch_tokens", "resamples"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f"--{option.replace('_', '-')} {value}: must be at least 1")
    if args.compare:
        if args.model or args.task:
            raise InputError("--compare: takes two results and neither a model nor a --task")
        return _compare(args)
    if not args.model or not args.task:
        raise InputError("give a model and a --task, or two results to --compare")
    return _evaluate(args)


def _evaluate(args: argparse.Namespace) -> int:
    from ..evaluation.evaluate import Task, evaluate
    from ..evaluation.results import place, write
    from ..evaluation.subject import Where, open_subject
    from ..evaluation.tasks import task_file
    from ..ui import reporter
    from .output import print_json

    task = Task(args.task, task_file(args.task, args.data), args.limit, args.window, args.batch_tokens)
    where = Where(args.model, args.backend, args.revision, args.trust_remote_code, args.rope_length)
    ui = reporter()
    try:
        subject = open_subject(where, ui)
        path = place(task.label(subject.backend), subject.folder, args.save)
        result = evaluate(subject, task, ui)
    finally:
        ui.close()
    result["seconds"] = ui.seconds
    if not args.save_items:
        del result["items"]
    if path is not None:
        write(path, result)
    if args.json:
        print_json(result)
    else:
        _print(result, path)
    return 0


def _print(result: dict[str, Any], path: Path | None) -> None:
    from .output import print_table

    metrics = result["metrics"]
    rows = []
    for name, value in metrics.items():
        if not name.endswith("_stderr"):
            error = metrics.get(f"{name}_stderr")
            rows.append((name, f"{value:.4f}", f"± {error:.4f}" if error is not None else ""))
    unit = f"windows of {result['protocol']['window']} tokens" if result["kind"] == "perplexity" else "items"
    title = f"{result['model']['name']} ({result['backend']}): {result['task']}, {result['count']} {unit}"
    print(title)
    print_table("", ("metric", "value", "standard error"), rows)
    if cut := result["protocol"].get("truncated_pairs"):
        print(f"note: {cut} contexts were too long and lost their oldest tokens")
    if path is not None:
        print(f"written to {path}")


def _compare(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ..evaluation.compare import compare
    from ..evaluation.results import read
    from .output import print_json, print_table

    a, b = map(read, args.compare)
    found = compare(a, b, seed=args.seed, resamples=args.resamples)
    if args.json:
        print_json(
            {
                "a": str(a.path),
                "b": str(b.path),
                "task": a.content["task"],
                "count": len(a.items),
                "seed": args.seed,
                "resamples": args.resamples,
                "interval": 0.95,
                "differences": [asdict(d) for d in found],
            }
        )
        return 0
    rows = [
        (d.metric, f"{d.a:.4f}", f"{d.b:.4f}", f"{d.difference:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}") for d in found
    ]
    title = f"{a.content['task']}: {b.path.name} (B) against {a.path.name} (A) on the same {len(a.items)} items"
    print(title)
    print_table("", ("metric", "A", "B", "B - A", "95 % interval, paired bootstrap"), rows)
    return 0
