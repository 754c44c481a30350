"""energy: three bills for the same model, side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..energy.part import Part
    from ..energy.table import Table
    from ..energy.work import Work

HELP = "price a compiled model, or a config.json alone: the literature's rule, integer additions, and memory traffic"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("out", nargs="?", type=Path, help="compiled folder")
    what.add_argument(
        "--config", type=Path, help="a Hugging Face config.json (or its folder) instead: nothing is measured"
    )
    parser.add_argument("--seq", type=int, help="tokens of the sequence (default: what the published joules fit)")
    parser.add_argument("--spikes", type=float, help="with --config: spikes for each multiply-add (default: fitted)")
    parser.add_argument(
        "--memory", choices=("sram", "dram"), default="sram", help="where weights and cache live (default sram)"
    )
    parser.add_argument(
        "--membranes", choices=("sram", "register"), default="sram", help="where membranes live (default sram)"
    )


def run(args: argparse.Namespace) -> int:
    """Price it."""
    from ..energy.table import table
    from ..energy.traffic import Memory
    from .output import print_json

    found = table(_work(args), Memory(args.memory, args.membranes))
    if args.json:
        print_json(found.as_json())
    else:
        print_energy(found)
    return 0


def _work(args: argparse.Namespace) -> Work:
    import math

    from ..energy.constants import FITTED_SPIKES, FITTED_TOKENS
    from ..errors import InputError

    tokens = FITTED_TOKENS if args.seq is None else args.seq
    if tokens < 1:
        raise InputError(f"--seq {tokens}: must be at least 1")
    if args.config is not None:
        from ..energy.from_config import work_of_config
        from ..energy.hf_config import read_config

        spikes = FITTED_SPIKES if args.spikes is None else args.spikes
        if not (math.isfinite(spikes) and spikes > 0):
            raise InputError(f"--spikes {spikes}: must be a positive number")
        return work_of_config(read_config(args.config), tokens, spikes, "fitted" if args.spikes is None else "given")
    if args.spikes is not None:
        raise InputError(f"--spikes: {args.out} has measured spikes; the option is for --config")
    from ..artifact import open_artifact
    from ..energy.from_program import work_of_program

    artifact = open_artifact(args.out)
    if "layers" not in artifact.metrics:
        raise InputError(f"{args.out}: nothing was measured; compile it without --no-measure")
    metrics = artifact.metrics
    return work_of_program(artifact.program, metrics["layers"], metrics["tokens"], tokens, artifact.folder.name)


def print_energy(found: Table) -> None:
    """Tables for people: models, what the spike program's energy goes to, what is left out, what is assumed."""
    from ..energy.part import joules, merged
    from ..energy.table import RULES
    from .output import print_table

    work = found.work
    headings = [f"{letter} {rule}" for letter, rule in zip("abc", RULES, strict=True)]
    rows = [*found.models, *([found.head] if found.head else [])]
    for span, share in ((f"a sequence of {work.tokens} tokens", 1), ("a token of it", work.tokens)):
        unit, factor = _unit(max(joules(b) / share for m in rows for b in m.bills if b is not None))
        cells = []
        for m in rows:
            row = [m.name]
            for i, bill in enumerate(m.bills):
                value = "–" if bill is None else f"{joules(bill) / share * factor:.4g}"
                ratio = found.ratio(m, i)
                row += [value, f"{ratio:.3g} x" if ratio is not None else ""]
            cells.append(row)
        columns = ["", *(c for heading in headings for c in (heading, "over spikes"))]
        print_table(f"{work.name}: {unit} for {span}, and how many times the spike program's", columns, cells)
    _print_elsewhere(found)
    for letter, bill in zip("bc", found.spiking.bills[1:], strict=True):
        print_table(f"where the spike program's energy goes, column {letter}", ("part", "count", "pJ each", "share"),
                    _shares(merged(bill or [])))  # fmt: skip
    left = [(u.kind, "not known from a config" if u.share is None else f"{u.share:.2%}") for u in work.uncounted]
    print_table("not counted, by share of operations", ("kind", "share"), left)
    for heading, said in zip(headings, found.assumptions, strict=True):
        print_table(f"column {heading} assumes", ("whose", ""), [(s.whose, s.text) for s in said])


def _print_elsewhere(found: Table) -> None:
    """Column c with weights and membranes elsewhere."""
    from ..energy.part import joules
    from .output import print_table

    tables = found.elsewhere()
    unit, factor = _unit(max(joules(m.bills[2]) for t in tables for m in t.models))
    rows = [
        (t.memory.weights, t.memory.membranes, *(f"{joules(m.bills[2]) * factor:.4g}" for m in t.models))
        for t in tables
    ]
    columns = ("weights in", "membranes in", *(m.name for m in found.models))
    print_table(f"what column c hangs on: {unit} for the sequence", columns, rows)


def _shares(parts: Sequence[Part]) -> list[tuple[str, str, str, str]]:
    total = sum(p.joules for p in parts) or 1.0
    return [(p.name, f"{p.count:.4g}", f"{p.pj:g}", f"{p.joules / total:.1%}") for p in parts]


def _unit(largest: float) -> tuple[str, float]:
    """One unit for a whole table, so that its columns can be compared."""
    units = (("J", 1.0), ("mJ", 1e3), ("µJ", 1e6), ("nJ", 1e9))
    return next((u for u in units if largest * u[1] >= 1), units[-1])
