"""calibrate-machine: measure the C backend's kernels here, for its choice among them."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "measure the C backend's kernels on this machine, so that kernels=auto knows what each costs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("-o", "--out", type=Path, help="file to write (default: this user's own, which compile reads)")


def run(args: argparse.Namespace) -> int:
    """Measure, write, and say from which share of non-zero inputs on each matrix is dense."""
    from ...backends.c.calibrate import measure
    from ...backends.c.costs import own_table, read
    from ..artifact import write_json
    from ..errors import InputError
    from ..ui import reporter
    from .output import print_json, print_table

    path: Path = args.out or own_table()
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    ui = reporter()
    try:
        with ui.stage("measure"):
            table = measure(ui.progress)
    finally:
        ui.close()
    write_json(path, table)
    costs = read(path)
    if args.json:
        print_json({"file": str(path), "sha256": costs.sha256, **table})
        return 0
    rows = []
    for dense in (c for c in costs.curves if c.kernel == "dense"):
        other = {c.kernel: c for c in costs.curves if (c.form, c.width, c.out) == (dense.form, dense.width, dense.out)}
        for i, share in enumerate(dense.shares):
            name = f"{dense.form} {dense.width} x {dense.out}" if i == 0 else ""
            rows.append((name, f"{share:.0%}", *(f"{other[k].microseconds[i]:.1f}" for k in ("dense", "event", "add"))))
    print_table(
        f"microseconds a call on {costs.cpu}, {costs.isa}: {path}",
        ("matrix", "inputs not 0", "dense", "event", "add"),
        rows,
    )
    return 0
