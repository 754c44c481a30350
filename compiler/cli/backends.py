"""backends: what programs can be emitted for."""

from __future__ import annotations

import argparse

HELP = "list the backends, who provides them, and why one does not load"


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(args: argparse.Namespace) -> int:
    """Load each and list it."""
    from ...backends.registry import NotFound, backend, provided
    from .output import print_json, print_table

    found = []
    for name, one in provided("sdllm.backends").items():
        try:
            status, summary = "", backend(name).summary
        except NotFound as error:
            status, summary = str(error), ""
        found.append(
            {"name": name, "provider": one.provider, "version": one.version, "summary": summary, "error": status}
        )
    if args.json:
        print_json(found)
    else:
        rows = [(f["name"], f"{f['provider']} {f['version']}", f["error"] or f["summary"]) for f in found]
        print_table("", ("backend", "provided by", ""), rows)
    return 0
