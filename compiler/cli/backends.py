"""backends: what programs can be emitted for."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "list the backends and their options, who provides them, and why one does not load"


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    """Load each and list it."""
    from .output import print_json, print_table
    from .provided import listed, provider

    found = listed("sdllm.backends", _describe)
    if args.json:
        print_json([{"summary": "", "options": {}, **f} for f in found])
        return 0
    rows = [(f["name"], provider(f), f["error"] or f["summary"]) for f in found]
    print_table("", ("backend", "provided by", ""), rows)
    told = [(f["name"], option, text) for f in found for option, text in f.get("options", {}).items()]
    print_table("options, as in --backend 'c{kernels=add}'", ("backend", "option", ""), told)
    return 0


def _describe(name: str) -> dict[str, Any]:
    from ...backends.interface import Configurable
    from ...backends.registry import backend

    made = backend(name)
    return {"summary": made.summary, "options": dict(made.options) if isinstance(made, Configurable) else {}}
