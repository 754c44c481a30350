"""compile: a model in, a folder out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from . import request

if TYPE_CHECKING:
    from ...passes import Note, Step
    from ..compile import Request

HELP = "compile a model (a folder, a .gguf file, a hub id or a compiled folder) into a spike program"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("model", help="folder, .gguf file, hub id, or a compiled folder to go on from")
    request.arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--recipe",
        help="named pipeline, name{option=value} (see `recipes`; default sdllm, of a distilled student bispikclm)",
    )
    what.add_argument("--pipeline", help="passes spelled out: a,b{option=value},c (see `passes`)")
    parser.add_argument("--sequences", type=int, default=32, help="calibration sequences (default 32)")
    parser.add_argument("--length", type=int, default=128, help="tokens of each (default 128)")
    parser.add_argument(
        "--keep", type=Path, help="folder for parts of long passes, which a compilation that was stopped takes up again"
    )
    parser.add_argument("--no-measure", action="store_true", help="leave out perplexity, firing rates and energy")
    passes = parser.add_argument_group("passes")
    passes.add_argument(
        "--print-after-change", action="store_true", help="print the program after each pass that changes it"
    )
    passes.add_argument("--dump-dir", type=Path, help="write the program after each pass into this folder")
    passes.add_argument("--start-from", metavar="PASS", help="leave out the passes before this one")
    passes.add_argument("--stop-after", metavar="PASS", help="leave out the passes after this one")
    passes.add_argument("--explain", metavar="PASS", help="say what this pass did to each module, and why not")
    passes.add_argument(
        "--check-numerics",
        nargs="?",
        type=float,
        const=3.0,
        metavar="KL",
        help="stop at an exact pass that changes outputs, or any that ends further than KL nats a token from the "
        "source (default 3), and name the module",
    )


def run(args: argparse.Namespace) -> int:
    """Compile, then say what came out."""
    wanted = _request(args)
    if args.explain and args.explain not in [p.name for p in wanted.passes()]:
        from ..errors import InputError

        raise InputError(f"--explain {args.explain}: the pipeline runs {', '.join(p.name for p in wanted.passes())}")
    from ..artifact import open_artifact
    from ..compile import compile_model
    from ..ui import reporter
    from .output import print_json

    ui = reporter()
    try:
        out = compile_model(wanted, ui)
    finally:
        ui.close()
    artifact = open_artifact(out)
    if args.json:
        print_json({"out": str(out), "metrics": artifact.metrics, "seconds": ui.seconds})
        return 0
    from .summary import print_summary

    print_summary(artifact)
    return 0


def _request(args: argparse.Namespace) -> Request:
    from ..compile import Request
    from ..errors import InputError
    from ..recipes import usual

    for option in ("sequences", "length"):
        if getattr(args, option) < 2:
            raise InputError(f"--{option} {getattr(args, option)}: must be at least 2")
    if args.check_numerics is not None and not args.check_numerics > 0:
        raise InputError(f"--check-numerics {args.check_numerics}: must be more than 0")
    return Request(
        **request.fields(args),
        recipe=args.recipe or usual(args.model),
        pipeline=args.pipeline,
        sequences=args.sequences,
        length=args.length,
        keep=args.keep,
        start_from=args.start_from,
        stop_after=args.stop_after,
        check_numerics=args.check_numerics,
        measure=not args.no_measure,
        listeners=_listeners(args),
    )


def _listeners(args: argparse.Namespace) -> list[Any]:
    from ...ir import print_program

    found = []
    beside = sys.stderr if args.json else sys.stdout  # JSON stands alone on stdout
    if args.print_after_change:

        def show(step: Step) -> None:
            if step.changed:
                print(f"// after pass {step.index + 1}, {step.ran}", file=beside)
                print(print_program(step.after), file=beside)

        found.append(show)
    if args.dump_dir is not None:
        folder: Path = args.dump_dir
        folder.mkdir(parents=True, exist_ok=True)

        def dump(step: Step) -> None:
            if step.index == 0:
                (folder / "00-captured.spike").write_text(print_program(step.before), encoding="utf-8")
            name = f"{step.index + 1:02}-{step.ran.name}.spike"
            (folder / name).write_text(print_program(step.after), encoding="utf-8")

        found.append(dump)
    if args.explain:

        def explain(step: Step) -> None:
            if step.ran.name == args.explain:
                _explain(step.ran.name, step.notes, step.changed, beside)

        found.append(explain)
    return found


def _explain(name: str, notes: tuple[Note, ...], changed: bool, to: TextIO) -> None:
    print(f"{name}: {'changed the program' if changed else 'left the program as it was'}", file=to)
    for note in notes:
        print(f"  {note.module or '(program)'}: {note.text}", file=to)
