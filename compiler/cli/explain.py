"""explain: how a module became what it is, and why its ops do or do not run on spikes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..explain import Explanation

HELP = "tell the story of one module through the passes, and why its ops do or do not run on spikes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("out", type=Path, help="compiled folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--module", help="a module's path, or a part of it that only one has")
    what.add_argument("--op", metavar="NAME", help="a value's name, as `inspect --text` shows it")


def run(args: argparse.Namespace) -> int:
    """Explain."""
    from ..artifact import open_artifact
    from ..explain import explain_module, explain_op
    from .output import print_json

    artifact = open_artifact(args.out)
    found = explain_op(artifact, args.op) if args.op is not None else explain_module(artifact, args.module)
    if args.json:
        print_json(found.as_json())
    else:
        _print(found)
    return 0


def _print(found: Explanation) -> None:
    from .output import print_marked

    print_marked(found.module or "(ops of no module)", "bold")
    for line in found.ops:
        print(f"  {line}")
    if not found.ops:
        print("  nothing of it is left in the program")
    print()
    if found.story is None:
        print("This folder has no journal of its passes; compile the model again to have one.")
    for chapter in found.story or ():
        head = f"pass {chapter.number}, {chapter.ran}"
        print_marked(head + (": nothing here" if chapter.idle else ""), "dim" if chapter.idle else "bold")
        for mark, style, lines in (("-", "red", chapter.gone), ("+", "green", chapter.came)):
            for line in lines:
                print_marked(f"  {mark} {line}", style)
        for name in chapter.rewritten:
            print(f"  @{name} holds other numbers")
        for note in chapter.notes:
            print(f"  note: {note}")
    print()
    for one in found.verdicts:
        print(f"%{one.value} {one.op}: {'on spikes' if one.on_spikes else 'in float'}; {one.why}")
        if one.failed:
            print(f"  closest rule: {one.closest}; but {one.failed}")
