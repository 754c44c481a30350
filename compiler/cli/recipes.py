"""recipes: the named pipelines."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..recipes import Recipe

HELP = "list the recipes and their pipelines, who provides them, and why one does not load"


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    """List them."""
    from .output import print_json
    from .provided import listed, provider

    found = listed("sdllm.recipes", _describe)
    if args.json:
        print_json(found)
        return 0
    for r in found:
        by = "" if r["provider"] == "sdllm" else f" (by {provider(r)})"
        if r["error"]:
            print(f"{r['name']}{by}: {r['error']}")
            continue
        print(f"{r['name']}{by}: {r['summary']}\n    {_spaced(r['pipeline']) or '(no passes)'}")
        if r["options"]:
            print(f"    options: {', '.join(f'{k}={v}' for k, v in r['options'].items())}")
    return 0


def _describe(name: str) -> dict[str, Any]:
    from ..recipes import recipe

    found = recipe(name)
    return {"summary": found.summary, "pipeline": found.pipeline, "options": _options(found)}


def _options(r: Recipe) -> dict[str, Any]:
    """Option names and defaults."""
    from dataclasses import fields

    return {f.name: f.default for f in fields(r.options)} if r.options else {}


def _spaced(pipeline: str) -> str:
    from ...passes import split_pipeline

    shown = [(name, ",".join(f"{k}={v}" for k, v in options.items())) for name, options in split_pipeline(pipeline)]
    return ", ".join(f"{name}{{{options}}}" if options else name for name, options in shown)
