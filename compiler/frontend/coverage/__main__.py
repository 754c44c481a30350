"""`python -m sdllm.compiler.frontend.coverage --write docs/coverage.md`: run the checks and write the page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from ...errors import InputError
from ..capture import capture
from .families import FAMILIES, REFUSED, Refused
from .page import page, row
from .parity import BOUND, check_family, prepare
from .shares import shares


def refusal(refused: Refused) -> str:
    """The message a family is refused with. Raises SystemExit if it is not."""
    try:
        capture(refused.build())
    except InputError as error:
        return str(error)
    raise SystemExit(f"{refused.name} is not refused any more: move it to FAMILIES")


def main(argv: list[str] | None = None) -> int:
    """Exit code 1 if a family fails."""
    parser = argparse.ArgumentParser(prog="python -m sdllm.compiler.frontend.coverage", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="where the page goes (default: stdout)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # the models are too small for more
    rows = []
    for family in FAMILIES:
        subject = prepare(family)
        rows.append(row(subject, check_family(subject)))
        print(rows[-1].text(), file=sys.stderr)
    text = page(rows, [(r, refusal(r)) for r in REFUSED], shares())
    if args.write:
        args.write.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0 if all(r.result.error <= BOUND for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
