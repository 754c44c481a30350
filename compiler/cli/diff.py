"""diff: what differs between two compiled models, or from pass to pass."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..difference import Difference

HELP = "compare two compiled folders or .spike files, or the programs of a --dump-dir from pass to pass"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("sides", type=Path, nargs="*", metavar="A B", help="compiled folders or .spike files")
    parser.add_argument("--between-passes", type=Path, metavar="DIR", help="a folder that --dump-dir wrote, instead")
    parser.add_argument("--module", default="", help="only modules whose path holds this")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with both sides beside each other")


def run(args: argparse.Namespace) -> int:
    """Compare."""
    from ..difference import between_passes, difference, open_side
    from ..errors import InputError
    from .output import print_json

    if len(args.sides) != (0 if args.between_passes else 2):
        raise InputError("diff: give two folders or .spike files, or --between-passes DIR alone")
    if args.between_passes:
        pairs = between_passes(args.between_passes)
    else:
        pairs = [(open_side(args.sides[0]), open_side(args.sides[1]))]
    found = [difference(a, b).only(args.module) for a, b in pairs]
    if args.html:
        from ..report.difference import write_difference

        if args.html.is_dir() or not args.html.absolute().parent.is_dir():
            raise InputError(f"{args.html}: is no file that can be written; give another --html")
        write_difference(found, args.html)
    if args.json:
        print_json([d.as_json() for d in found] if args.between_passes else found[0].as_json())
        return 0
    for one in found:
        _print(one)
    if args.html:
        print(f"{args.html}: {args.html.stat().st_size / 1e6:.2f} MB; open it in a browser")
    return 0


def _print(found: Difference) -> None:
    from ..difference.names import brief
    from .output import print_marked, print_table

    print(f"--- {found.before}\n+++ {found.after}")
    if found.same and not found.weights:
        print("the programs are the same, but for names of values\n")
    figures = [
        (f.name, _number(f.before), _number(f.after), "" if f.change is None else f"{f.change:+.1%}")
        for f in found.figures
    ]
    print_table("", ("", "before", "after", "change"), figures)
    for what, before, after in found.declarations:
        print(f"{what}: {before or 'none'} -> {after or 'none'}")
    marks = {"gone": ("-",), "came": ("+",), "changed": ("-", "+"), "rewired": ("~",)}
    styles = {"-": "red", "+": "green", "~": "yellow"}
    for group in found.groups:
        print_marked(f"\n@@ {', '.join(brief(group.modules))}", "bold")
        for change in group.changes:
            for mark in marks[change.kind]:
                line = change.before if mark in "-~" else change.after
                print_marked(f"{mark} {line}{' (reads other values)' if mark == '~' else ''}", styles[mark])
    print(f"\n{found.same_ops} ops are as they were")
    rows = [
        (w.name, w.before or "", w.after or "", (w.before_sha256 or "")[:8], (w.after_sha256 or "")[:8],
         "" if w.relative is None else f"{w.relative:.4f}")
        for w in found.weights
    ]  # fmt: skip
    if rows:
        columns = ("weight", "before", "after", "sha256 before", "after", "relative change")
        print_table(f"{len(rows)} weights differ, {found.same_weights} do not", columns, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
