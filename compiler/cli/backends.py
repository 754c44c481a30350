"""backends: what programs can be emitted for."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "list the backends and their options, who provides them, and why one does not load"


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    """Load each and list it."""
    from ...backends.interface import Configurable
    from ...backends.registry import NotFound, backend, provided
    from .output import print_json, print_table

    found: list[dict[str, Any]] = []
    for name, one in provided("sdllm.backends").items():
        try:
            made = backend(name)
            status, summary = "", made.summary
            options = dict(made.options) if isinstance(made, Configurable) else {}
        except NotFound as error:
            status, summary, options = str(error), "", {}
        found.append(
            {
                "name": name,
                "provider": one.provider,
                "version": one.version,
                "summary": summary,
                "options": options,
                "error": status,
            }
        )
    if args.json:
        print_json(found)
    else:
        rows = [(f["name"], f"{f['provider']} {f['version']}", f["error"] or f["summary"]) for f in found]
        print_table("", ("backend", "provided by", ""), rows)
        told = [(f["name"], option, text) for f in found for option, text in f["options"].items()]
        print_table("options, as in --backend 'c{kernels=add}'", ("backend", "option", ""), told)
    return 0
