"""tune: the recipe for a user's own budget."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..compile import Prepared
    from ..search.trials import Outcome
    from ..search.tune import Goal, Tried

JOULES = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "nJ": 1e-9}
HELP = "search for the pipeline that keeps to a budget of perplexity, additions or energy, and compile it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("model", help="folder, .gguf file or hub id")
    request.arguments(parser)
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--max-ppl-increase", metavar="X%", help="fewest additions at so much more perplexity: 5%%, 0.05")
    goal.add_argument("--max-additions", type=float, metavar="A", help="least perplexity at so many additions a weight")
    goal.add_argument("--max-energy", metavar="E", help="least perplexity at so much energy a token: 40uJ, 2e-5")
    parser.add_argument("--max-steps", type=int, default=0, help="most time steps (default: any)")
    parser.add_argument("--weight-bits", type=int, default=4, help="bits of a weight's code, 2 to 7 (default 4)")
    parser.add_argument("--text", type=Path, help="text to score on; default: calibration text held out")
    parser.add_argument("--windows", type=int, default=8, help="windows of it to score on (default 8)")
    parser.add_argument("--window", type=int, default=512, help="tokens of each window of --text (default 512)")
    parser.add_argument("--rounds", type=int, default=3, help="trials within a family's range (default 3)")


def run(args: argparse.Namespace) -> int:
    """Search, say what was tried, compile the best."""
    goal = _goal(args)
    _check(args)
    from dataclasses import replace

    from ..compile import Request, compile_model, prepare
    from ..search.trials import Trials
    from ..search.tune import frontier, tune
    from ..ui import reporter
    from .output import print_json

    wanted = Request(**request.fields(args), held_out=args.windows)
    ui = reporter()
    told: list[Tried] = []
    try:
        prepared = prepare(wanted, ui)
        folder = args.out.with_name(args.out.name + ".trials")
        trials = Trials(prepared, _windows(args, prepared), folder, seed=args.seed, progress=ui.progress)
        with ui.stage("search"):
            found = tune(
                trials, goal, bits=args.weight_bits, max_steps=args.max_steps, rounds=args.rounds, tell=told.append
            )
        out = compile_model(replace(wanted, pipeline=found[0].outcome.pipeline), ui, prepared)
    finally:
        ui.close()
    source = trials.source()
    if args.json:
        rows = [_row(t, source) for t in told]
        print_json({"out": str(out), "best": _row(found[0], source), "source": source.perplexity, "tried": rows})
        return 0
    _print(found[0], frontier(told), source, goal)
    print(f"written to {out}; every trial is kept in {trials.folder}")
    return 0


def _windows(args: argparse.Namespace, prepared: Prepared) -> NDArray[np.int64]:
    """What trials are scored on: i64 [N, L]. Raises InputError."""
    if args.text is None:
        return prepared.calibration.held_out
    from ..calibration import tokenize
    from ..evaluation.perplexity import windows

    ids = tokenize(args.text, prepared.model.tokenizer)
    return windows(ids.tolist(), args.window, args.windows, str(args.text))


def _goal(args: argparse.Namespace) -> Goal:
    """The budget. Raises InputError."""
    from ..search.tune import Goal

    if args.max_additions is not None:
        return Goal("additions", _positive("--max-additions", args.max_additions))
    if args.max_energy is not None:
        return Goal("energy", quantity("--max-energy", args.max_energy, JOULES))
    return Goal("increase", quantity("--max-ppl-increase", args.max_ppl_increase, {"%": 0.01}))


def quantity(option: str, text: str, units: dict[str, float]) -> float:
    """A positive number with or without a unit. Raises InputError."""
    from ..errors import InputError

    match = re.fullmatch(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*(\S*)", text.strip())
    if match is None or (match[2] and match[2] not in units):
        raise InputError(f"{option} {text}: give a number, with one of the units {', '.join(units)} or none")
    try:
        return _positive(option, float(match[1]) * (units[match[2]] if match[2] else 1.0))
    except ValueError as error:
        raise InputError(f"{option} {text}: is no number") from error


def _positive(option: str, value: float) -> float:
    from ..errors import InputError

    if not 0 < value < float("inf"):
        raise InputError(f"{option} {value:g}: must be more than 0")
    return value


def _check(args: argparse.Namespace) -> None:
    from ..errors import InputError

    for option, least in (("windows", 1), ("window", 2), ("rounds", 0), ("max_steps", 0)):
        if getattr(args, option) < least:
            raise InputError(f"--{option.replace('_', '-')} {getattr(args, option)}: must be at least {least}")
    if not 2 <= args.weight_bits <= 7:
        raise InputError(f"--weight-bits {args.weight_bits}: must be 2 to 7")
    if args.out.exists() and not args.force:
        raise InputError(f"{args.out}: exists already; give another -o, or --force to replace it")


def _row(tried: Tried, source: Outcome) -> dict[str, Any]:
    from dataclasses import asdict

    found = tried.outcome
    return {**asdict(tried), "perplexity": found.perplexity, "ratio": found.perplexity / source.perplexity}


def _print(best: Tried, front: list[Tried], source: Outcome, goal: Goal) -> None:
    from .output import print_table, si

    rows = []
    for tried in front:
        found, cost = tried.outcome, tried.outcome.cost
        assert cost is not None
        rows.append(
            (
                tried.family,
                f"{found.perplexity:.3f}",
                f"{found.perplexity / source.perplexity:.4f}",
                f"{cost.additions:.3f}",
                cost.steps,
                f"{cost.nonzero:.2f}",
                si(cost.joules["integers"], "J"),
                "yes" if tried.kept else "no",
            )
        )
    print(f"source: perplexity {source.perplexity:.3f}; budget: {goal.measure} at most {goal.most:g}")
    columns = ("family", "perplexity", "ratio", "additions", "steps", "non-zero", "energy a token", "in budget")
    print_table("trials that no other beats in both perplexity and additions", columns, rows)
    print(f"best: {best.outcome.pipeline}")
