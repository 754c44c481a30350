"""verify: is a compiled model whole, well-typed and true to its spikes?"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "check a compiled model: files, types, and spikes in time against counts"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("out", type=Path, help="compiled folder")
    parser.add_argument("--tokens", type=int, default=4, help="tokens to run step by step (default 4)")


def run(args: argparse.Namespace) -> int:
    """Check; exit 1 if a check fails."""
    from ..artifact import open_artifact
    from ..errors import InputError
    from ..verification import verify_artifact
    from .output import print_json, print_table

    if args.tokens < 1:
        raise InputError(f"--tokens {args.tokens}: must be at least 1")
    checks = verify_artifact(open_artifact(args.out), args.tokens)
    if args.json:
        print_json([{"check": c.name, "passed": c.passed, "detail": c.detail} for c in checks])
    else:
        print_table("", ("check", "", ""), [(c.name, "ok" if c.passed else "FAILED", c.detail) for c in checks])
    return 0 if all(c.passed for c in checks) else 1
