"""report: a compiled model as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write one HTML file about a compiled model, or about several side by side; it opens without a network"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("out", type=Path, nargs="+", help="compiled folders")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: report.html in the current folder)")


def run(args: argparse.Namespace) -> int:
    """Write it."""
    from ..errors import InputError
    from ..report import write_report
    from ..ui import reporter
    from .output import print_json

    target: Path = args.output or Path("report.html")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise InputError(f"{target}: is no file that can be written; give another -o")
    ui = reporter()
    try:
        with ui.stage("report"):
            write_report(args.out, target, ui.progress)
    finally:
        ui.close()
    if args.json:
        print_json({"report": str(target), "bytes": target.stat().st_size})
    else:
        print(f"{target}: {target.stat().st_size / 1e6:.2f} MB; open it in a browser")
    return 0
