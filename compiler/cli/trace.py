"""trace: what each module did on a text, beside the source."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..artifact import Artifact
    from ..trace import Trace

HELP = "run a text through a compiled model and show each module's error against the source, and its spikes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("out", type=Path, help="compiled folder")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--prompt", help="text, taken as it is, without chat template")
    given.add_argument("--ids", help="token ids, separated by commas")
    parser.add_argument("--source", help="the model it was compiled from, run beside it; else errors are those stored")
    parser.add_argument("--layer", default="", help="a layer's number, or modules whose path holds this")
    parser.add_argument("--tolerance", type=float, default=0.1, help="relative error that counts as divergence")
    parser.add_argument("--save", action="store_true", help="keep it in the folder (results/trace), for the report")
    parser.add_argument("--revision", help="revision of a source that is a hub id")
    parser.add_argument("--rope-length", type=int, help="as it was given to compile")
    parser.add_argument("--trust-remote-code", action="store_true", help="let the source's repository run its code")


def run(args: argparse.Namespace) -> int:
    """Trace."""
    from ..artifact import open_artifact, write_json
    from ..errors import InputError
    from ..trace import place_of, trace
    from ..ui import reporter
    from .output import print_json

    if not args.tolerance > 0:
        raise InputError(f"--tolerance {args.tolerance}: must be more than 0")
    artifact = open_artifact(args.out)
    ids = _ids(args, artifact)
    ui = reporter()
    try:
        source = _source(args, artifact, ui) if args.source else None
        with ui.stage("trace"):
            found = trace(artifact, ids, source, args.tolerance)
    finally:
        ui.close()
    if not found.only(args.layer):
        raise InputError(f"--layer {args.layer}: no module of the program is of that layer or has that in its path")
    if args.save:
        path = place_of(artifact)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found.as_json())
    if args.json:
        print_json(found.as_json(args.layer))
    else:
        _print(found, args.layer)
    return 0


def _ids(args: argparse.Namespace, artifact: Artifact) -> list[int]:
    from ..calibration import vocabulary
    from ..errors import InputError
    from .run import token_ids

    if args.ids is not None:
        return token_ids(args.ids, vocabulary(artifact.program))
    tokenizer = artifact.tokenizer()
    if tokenizer is None:
        raise InputError(f"{args.out}: has no tokenizer; give --ids")
    ids: list[int] = tokenizer(args.prompt)["input_ids"]
    if not ids:
        raise InputError("--prompt: makes no token; give more text")
    most = artifact.program.meta.get("max_positions")
    if most is not None and len(ids) > most:
        raise InputError(f"--prompt: {len(ids)} tokens, the model takes {most}")
    return ids


def _source(args: argparse.Namespace, artifact: Artifact, ui: Any) -> tuple[Any, Any]:
    from ..compile import Request, load_model
    from ..errors import InputError

    request = Request(
        model=args.source,
        out=args.out,
        revision=args.revision,
        rope_length=args.rope_length,
        trust_remote_code=args.trust_remote_code,
    )
    model = load_model(request, ui)
    ours, theirs = (of.get("files", {}) for of in (artifact.manifest["source"], model.source))
    other = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if other or (ours and theirs and not set(ours.values()) & set(theirs.values())):
        which = f"sha256 of {other[0]} differs" if other else "no file has the same sha256"
        raise InputError(f"--source {args.source}: is not what {args.out} was compiled from ({which})")
    return model.program, model.store


def _print(found: Trace, layer: str) -> None:
    from .output import print_table

    def text(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    rows = [
        (line.module, line.what, text(line.input_error), text(line.error), text(line.growth),
         "" if line.first_token is None else line.first_token + 1, text(line.spikes_per_activation),
         text(line.compiled_spikes_per_activation), "" if line.spikes is None else f"{line.spikes:,}")
        for line in found.only(layer)
    ]  # fmt: skip
    errors = "error of this text" if found.against == "source" else "error stored at compile time"
    columns = (
        "module", "", "input error", errors, "growth", "first token", "spikes an activation", "when compiled", "spikes",
    )  # fmt: skip
    print_table("", columns, rows)
    if found.first_module is not None:
        print(f"first module with an error beyond {found.tolerance:g}: {found.first_module}")
    if found.against == "stored":
        print("errors are those stored at compile time; --source MODEL runs the source beside it on this text")
    elif found.first_choice is None:
        print("after every token both hold the same next token likeliest")
    else:
        at = found.first_choice
        print(f"likeliest next tokens differ first after token {at + 1}, {found.tokens[at]!r}")
