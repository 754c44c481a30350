"""new: a package to start from."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a complete package for a backend of your own: it installs, emits, and passes conformance"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("kind", choices=["backend"], help="what to write")
    parser.add_argument("name", help="what --backend will call it")
    parser.add_argument("-o", "--out", type=Path, help="folder to write (default sdllm-NAME)")


def run(args: argparse.Namespace) -> int:
    """Write it. Raises InputError, for a name that is taken too."""
    from ...backends.registry import provided
    from ..errors import InputError
    from ..scaffold import write_backend
    from .output import print_json

    if other := provided("sdllm.backends").get(args.name):
        raise InputError(
            f"{other.provider} {other.version} provides a backend '{args.name}' already; give another name"
        )
    out = args.out or Path(f"sdllm-{args.name}")
    made = write_backend(args.name, out)
    if args.json:
        print_json({"folder": str(out), "files": [path.name for path in made]})
        return 0
    for path in made:
        print(path)
    print(f"next: pip install -e '{out}[test]' && pytest {out}")
    return 0
