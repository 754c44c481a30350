"""passes: the rewrites there are, and their options."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "list the passes, who provides them, and why one does not load; or one pass with its options"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("name", nargs="?", help="one pass, in full")


def run(args: argparse.Namespace) -> int:
    """List them. Raises NotFound for a pass that there is not, or that does not load."""
    from .output import print_json, print_table
    from .provided import listed, provider

    if args.name:
        one = {"name": args.name, **_describe(args.name)}
        if args.json:
            print_json(listed("sdllm.passes", _describe, [args.name]))
            return 0
        print(f"{args.name}{' (exact: outputs stay but for rounding)' if one['exact'] else ''}\n\n{one['doc']}\n")
        print_table("", ("option", "default"), list(one["options"].items()))
        return 0
    found = listed("sdllm.passes", _describe)
    if args.json:
        print_json(found)
        return 0
    rows = [(f["name"], *_short(f), provider(f)) for f in found]
    print_table("", ("pass", "exact", "", "provided by"), rows)
    return 0


def _describe(name: str) -> dict[str, Any]:
    import inspect
    from dataclasses import fields

    from ..recipes import pass_class

    cls = pass_class(name)
    options = {f.name: f.default for f in fields(cls)}
    return {"exact": cls.exact, "options": options, "doc": inspect.cleandoc(cls.__doc__ or "")}


def _short(entry: dict[str, Any]) -> tuple[str, str]:
    if entry["error"]:
        return "", entry["error"]
    return ("yes" if entry["exact"] else "no"), entry["doc"].partition("\n")[0]
