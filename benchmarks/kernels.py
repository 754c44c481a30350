"""Microseconds of each kernel of the C backend against the share of inputs that are not 0.

    python benchmarks/kernels.py [--rounds N] [--isa NAME] [--into docs/c.md]

On the matrices of SmolLM2-135M, 4-bit rows on one scale: one thread, one token, kernels taking turns, the least of N
rounds. `--into` puts the table between the marks of that page.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from sdllm.backends.c.calibrate import curves, processor

MATRICES = {"o": (576, 576), "q, k, v": (576, 960), "gate, up": (576, 3072), "down": (1536, 576)}
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
PLACES = {"from memory": True, "from the caches": False}


def break_even(dense: list[float], event: list[float]) -> str:
    """The share up to which the event kernel is quicker than the dense one at every share."""
    behind = [i for i, (d, e) in enumerate(zip(dense, event, strict=True)) if e >= d]
    if not behind:
        return "always"
    i = behind[0]
    if i == 0:
        return f"below {SHARES[0]:.0%}"
    ahead, lost = dense[i - 1] - event[i - 1], event[i] - dense[i]
    return f"{np.interp(ahead, [0, ahead + lost], SHARES[i - 1 : i + 1]):.0%}"


def lines(rounds: int, isa: str) -> list[str]:
    """The table in Markdown."""
    made = []
    for place, cold in PLACES.items():
        head = ["weights " + place, "kernel", *(f"{s:.0%}" for s in SHARES), "event is quicker up to"]
        made += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for name, shape in MATRICES.items():
            found = curves("rows", shape, SHARES, cold=cold, isa=isa, rounds=rounds)
            for kernel, times in found.items():
                first = f"{name}: {shape[0]} x {shape[1]}" if kernel == "dense" else ""
                last = break_even(found["dense"], times) if kernel == "event" else ""
                made.append(f"| {first} | {kernel} | {' | '.join(f'{t:.1f}' for t in times)} | {last} |")
    return made


def main() -> None:
    """Measure and say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--isa", default="", help="instruction set (default: the best)")
    parser.add_argument("--into", type=Path, help="page to put the table into")
    args = parser.parse_args()
    text = "\n".join([f"{processor()}, {args.isa or 'its best instruction set'}.", *lines(args.rounds, args.isa)])
    print(text)
    if args.into:
        page = args.into.read_text(encoding="utf-8")
        marks = r"(<!-- benchmarks/kernels.py -->\n).*?(<!-- /benchmarks/kernels.py -->)"
        page, found = re.subn(marks, lambda m: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL)
        if not found:
            raise SystemExit(f"{args.into}: has no <!-- benchmarks/kernels.py --> … <!-- /benchmarks/kernels.py -->")
        args.into.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
