"""What every command that compiles asks for: options, and the fields of a Request that they fill."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `compile` and `tune` alike."""
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--backend",
        action="append",
        help="emit for this backend, with options as in 'c{kernels=add}' (see `backends`; default simulator)",
    )
    parser.add_argument("--kernels", help="short for the option kernels of backends that have it (see `backends`)")
    parser.add_argument("--onnx-steps", help="short for the option steps of backend onnx: folded or unrolled")
    parser.add_argument("--calibration", type=Path, help="text file; default: text the model writes from the seed")
    parser.add_argument("--seed", type=int, default=0, help="seed of calibration text (default 0)")
    parser.add_argument("--revision", help="revision of a hub id")
    parser.add_argument("--rope-length", type=int, help="length to fix rotary scaling at, where it depends on length")
    parser.add_argument("--trust-remote-code", action="store_true", help="let the model's repository run its code")
    parser.add_argument("--force", action="store_true", help="replace the output folder")


def fields(args: argparse.Namespace) -> dict[str, Any]:
    """Fields of a Request. Raises NotFound, PassError, IRError or InputError for a backend or option that is wrong."""
    from ..targets import targets

    texts = args.backend or ["simulator"]
    common = {name: getattr(args, name) for name in ("kernels", "onnx_steps") if getattr(args, name) is not None}
    names = ("model", "out", "calibration", "seed", "revision", "rope_length", "trust_remote_code", "force")
    return {
        **{name: getattr(args, name) for name in names},
        "backends": [str(t) for t in targets(texts, **common) if t.name != "reference"],
    }
