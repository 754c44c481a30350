"""recipes: the named pipelines."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..recipes import Recipe

HELP = "list the recipes and their pipelines"


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    """List them."""
    from dataclasses import asdict

    from ..recipes import recipes
    from .output import print_json

    found = recipes()
    if args.json:
        print_json([{**asdict(r), "options": _options(r)} for r in found])
        return 0
    for r in found:
        print(f"{r.name}: {r.summary}\n    {_spaced(r.pipeline) or '(no passes)'}")
        if options := _options(r):
            print(f"    options: {', '.join(f'{k}={v}' for k, v in options.items())}")
    return 0


def _options(r: Recipe) -> dict[str, Any]:
    """Option names and defaults."""
    from dataclasses import fields

    return {f.name: f.default for f in fields(r.options)} if r.options else {}


def _spaced(pipeline: str) -> str:
    from ...passes import split_pipeline

    shown = [(name, ",".join(f"{k}={v}" for k, v in options.items())) for name, options in split_pipeline(pipeline)]
    return ", ".join(f"{name}{{{options}}}" if options else name for name, options in shown)
