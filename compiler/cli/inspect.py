"""inspect: what is in a compiled model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..artifact import Artifact

HELP = "show a compiled model: pipeline, coverage, firing of each layer, or the program's text"

_FIGURES = (
    "spikes_per_activation", "firing_rate", "nonzero", "additions_per_weight", "time_steps", "saturated", "gamma",
)  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("out", type=Path, help="compiled folder")
    parser.add_argument("--text", action="store_true", help="print the program")
    parser.add_argument("--module", help="print the ops of modules whose path holds this")
    parser.add_argument("--graph", choices=("svg", "dot", "html"), help="draw the program; html can be walked")
    parser.add_argument(
        "--depth", type=int, default=3, help="with svg and dot: blocks deeper than this are drawn closed"
    )
    parser.add_argument("-o", "--output", type=Path, help="with --graph: file to write (default: standard output)")
    parser.add_argument("--layers", action="store_true", help="a line for each spiked product")
    parser.add_argument("--backend", metavar="NAME", help="op by op, what became of it in the folder of this backend")


def _emitted(artifact: Artifact, args: argparse.Namespace) -> int:
    """What became of each op (of some modules) in an emitted folder."""
    from ...backends.mapping import MAP, read_map
    from ..errors import InputError
    from .output import print_json

    name, folder = args.backend, artifact.folder / args.backend
    if name not in artifact.backends:
        have = ", ".join(artifact.backends) or "no backend"
        raise InputError(f"{artifact.folder}: was not compiled for backend '{name}' (it was for: {have})")
    if not (folder / MAP).is_file():
        raise InputError(f"{folder}: has no {MAP}: backend {name} does not say what became of each op")
    told = [entry for entry in read_map(folder) if (args.module or "") in entry["module"]]
    if not told:
        raise InputError(f"--module {args.module}: no op of the program has that in its module path")
    if args.json:
        print_json(told)
        return 0
    where = None
    for entry in told:
        if where != (where := (entry["module"], entry["loc"])):
            print("  ".join(text for text in where if text) or "(of no module)")
        print(f"    {entry['ir']}\n        {entry['became']}")
    return 0


def run(args: argparse.Namespace) -> int:
    """Show it."""
    from collections import Counter
    from dataclasses import asdict

    from ...ir import print_op, print_program
    from ..artifact import open_artifact
    from ..coverage import coverage, spiking_share
    from ..errors import InputError
    from .output import print_json, print_table
    from .summary import print_summary

    artifact = open_artifact(args.out)
    if args.backend is not None:
        return _emitted(artifact, args)
    program = artifact.program
    if args.graph:
        return _graph(args, artifact)
    if args.text:
        text = print_program(program)
        if args.json:
            print_json({"program": text})
        else:
            print(text, end="")
        return 0
    if args.module is not None:
        lines = [print_op(op) for op in program.ops if args.module in op.loc.module]
        if not lines:
            raise InputError(f"--module {args.module}: no op of the program has that in its module path")
        if args.json:
            print_json({"ops": lines})
        else:
            print("\n".join(lines))
        return 0
    shares = coverage(program)
    if args.json:
        ops = dict(Counter(op.name for op in program.ops))
        print_json(
            {
                "manifest": artifact.manifest,
                "coverage": [asdict(s) for s in shares],
                "ops": ops,
                "metrics": artifact.metrics,
            }
        )
        return 0
    if args.layers:
        if not artifact.metrics.get("layers"):
            raise InputError(f"{args.out}: has no figures of layers (compiled with --no-measure, or without spikes)")
        rows = [
            (f["module"], f["op"], f["code"], *(f"{f[key]:.4g}" if key in f else "" for key in _FIGURES))
            for f in artifact.metrics.get("layers", [])
        ]
        print_table("", ("module", "op", "code", *(key.replace("_", " ") for key in _FIGURES)), rows)
        return 0
    print_summary(artifact)
    rows_of_shares = [("spikes" if s.spiking else "float", s.kind, f"{s.share:.2%}", s.reason) for s in shares]
    print_table(
        "coverage, by share of operations in a prefill of 1024 tokens", ("", "kind", "share", ""), rows_of_shares
    )
    print(f"of the multiply-adds alone, {spiking_share(shares):.1%} run on spikes")
    return 0


def _graph(args: argparse.Namespace, artifact: Artifact) -> int:
    """Draw it, into a file or onto standard output."""
    from ..errors import InputError
    from ..graph.dot import dot
    from ..graph.svg import svg
    from ..report import graph_html

    if args.depth < 1:
        raise InputError(f"--depth {args.depth}: must be at least 1")
    program = artifact.program
    if args.graph == "html":
        drawn = graph_html(args.out)
    else:
        drawn = dot(program, args.depth) if args.graph == "dot" else svg(program, args.depth)
    if args.output is None:
        print(drawn, end="")
    else:
        args.output.write_text(drawn, encoding="utf-8")
    return 0
