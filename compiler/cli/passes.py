"""passes: the rewrites there are, and their options."""

from __future__ import annotations

import argparse

HELP = "list the passes, or one pass with its options"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("name", nargs="?", help="one pass, in full")


def run(args: argparse.Namespace) -> int:
    """List them."""
    import inspect
    from dataclasses import fields

    from ...backends.registry import provided
    from ..recipes import pass_class
    from .output import print_json, print_table

    names = [args.name] if args.name else list(provided("sdllm.passes"))
    found = []
    for name in names:
        cls = pass_class(name)
        options = {f.name: f.default for f in fields(cls)}
        text = inspect.cleandoc(cls.__doc__ or "")
        found.append({"name": name, "exact": cls.exact, "options": options, "doc": text})
    if args.json:
        print_json(found)
    elif args.name:
        print(f"{args.name}{' (exact: outputs stay but for rounding)' if cls.exact else ''}\n\n{text}\n")
        print_table("", ("option", "default"), [(k, v) for k, v in options.items()])
    else:
        rows = [(f["name"], "yes" if f["exact"] else "no", str(f["doc"]).partition("\n")[0]) for f in found]
        print_table("", ("pass", "exact", ""), rows)
    return 0
