"""How fast compiled programs decode beside other engines, and how well each knows a text: one command, one table.

    sdllm-compile compile MODEL.gguf -o spikes --recipe digit-ramp
    sdllm-compile compile spikes -o fast --calibration text.txt --sequences 128 --backend c \\
        --pipeline "quantize-weights{method=gptq,costly=true,head_bits=4,group=32},narrow-offsets"
    python benchmarks/peers.py MODEL.gguf PEERS
    python benchmarks/decode.py fast --model MODEL.gguf --peers PEERS --text wikitext2/test.txt --busy 0 1 -o FOLDER

Each folder is emitted once for each of --kernels. Every engine runs in a process of its own, one after the other, round
by round: what disturbs the machine disturbs all. Writes FOLDER/decode.json (every round, token by token) and decode.md.
Perplexities take minutes and are kept in FOLDER/perplexity.json, window by window. Peers that are not there are named
and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from sdllm.backends.c import CBackend
from sdllm.backends.c.build import compiler, library
from sdllm.compiler.artifact import Artifact, open_artifact, sha256
from sdllm.compiler.evaluation.perplexity import WINDOW, windows
from sdllm.compiler.evaluation.tasks import read_text
from table import write

HERE = Path(__file__).parent
SOURCE, BASE = "source, float32", "llama.cpp Q4_1"
OWN = "own"
SPINNING = [sys.executable, "-c", "while True: pass"]
TIMEOUT = 120.0  # seconds of one measurement
STREAMED = 96_000_000  # bytes read to measure the memory: what a token of SmolLM2-135M takes


@dataclass(frozen=True)
class Entry:
    """An engine with a model: how `engines.py` is told of it, and its files."""

    name: str
    kind: str
    model: Path
    files: tuple[Path, ...]
    options: tuple[str, ...] = ()
    packages: str = ""

    def run(self, task: str, *options: str, each: Any = None, timeout: float | None = None) -> dict[str, Any]:
        """What a process of its own finds. Raises RuntimeError with its last words."""
        # What steers thread pools and kernels is left to each engine.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "OPENBLAS_", "SDLLM_ISA"))}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (self.packages, env.get("PYTHONPATH"))))
        command = [sys.executable, str(HERE / "engines.py"), self.kind, str(self.model), task, *self.options, *options]
        with subprocess.Popen(command, env=env, stdout=-1, stderr=-1, text=True) as child:
            try:
                last = "{}"
                if each:
                    for last in child.stdout or ():
                        each(json.loads(last))
                said, errors = child.communicate(timeout=timeout)
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            lines = errors.strip().splitlines() or [f"exit code {child.returncode}"]
            raise RuntimeError(f"{self.name}: {lines[-1]}")
        found: dict[str, Any] = json.loads(said or last)
        return found


def ours(folder: Path, kernels: str, options: dict[str, str], out: Path) -> tuple[Entry, dict[str, Any]]:
    """A compiled folder, emitted for these kernels or as it was compiled, and built; what is known of it."""
    artifact = open_artifact(folder)
    if kernels == OWN:
        made, told = folder / "c", artifact.manifest["backends"]["c"]
    else:
        made = out / "emitted" / f"{folder.name}-{kernels}"
        told = CBackend().emit(artifact.program, artifact.store, made, {"kernels": kernels, **options})
    library(made)
    entry = Entry(f"{folder.name}, {kernels}", "c", made, (made / "model.c", made / "weights.bin"))
    shares = entry.run("stats")
    read = touched(artifact, told, shares, (made / "model.c").read_text())
    return entry, {"bytes": read, "weights": told["weights_bytes"], "nonzero": shares}


def touched(artifact: Artifact, told: dict[str, Any], shares: dict[str, float], text: str) -> float:
    """Bytes of weights that one token reads: all but tables that are looked up in and, where kernels go by events, the
    rows of inputs that are silent. model.c says which sections are read for every token."""
    size = float(sum(map(int, re.findall(r"^    \{(\d+), 1\},$", text, re.MULTILINE))))
    linears = iter([op for op in artifact.program.ops if op.name == "spike.linear"])
    for group in told["linears"]:
        for op in islice(linears, group["matrices"]):
            out, width = artifact.program.weights[op.weights[0]].type.shape
            each = 0.5 if artifact.program.weights[op.weights[0]].type.bits <= 4 else 1.0
            silent = 0.0 if group["kernel"] == "dense" else 1.0 - shares[op.result.name]
            size -= out * width * each * silent
    return size


def peers(model: Path | None, folder: Path | None) -> Iterator[Entry]:
    """Those that are there; the rest are named."""
    if model is None or folder is None:
        print("no other engines: give --model and --peers, a folder that benchmarks/peers.py made")
        return
    llama, ort = folder / "llama", folder / "ort"
    files = {"Q4_1": model, "Q4_0": llama / "q4_0.gguf", "Q8_0": llama / "q8_0.gguf"}
    found = [Entry(f"llama.cpp {n}", "llama", f, (f,), ("--libraries", str(llama / "lib"))) for n, f in files.items()]
    onnx = (ort / "int4" / "model.onnx", ort / "int4" / "model.onnx.data")
    found.append(Entry("onnxruntime-genai int4", "ort", ort / "int4", onnx, packages=str(ort / "packages")))
    for entry in found:
        needed = (*entry.files, *(Path(o) for o in entry.options[1:]))
        missing = next((f for f in needed if not f.exists()), None)
        if missing:
            print(f"left out: {entry.name}, as there is no {missing}; benchmarks/peers.py makes it")
        else:
            yield entry


def losses(entries: Sequence[Entry], args: argparse.Namespace, tokenizer: Any) -> dict[str, list[float]]:
    """Of each entry, the mean loss of each window. What was found before is read; what is missing is found."""
    path = args.out / "perplexity.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    ids = tokenizer(read_text(args.text), add_special_tokens=False, verbose=False)["input_ids"]
    tokens = windows(ids, WINDOW, args.windows, str(args.text))
    result: dict[str, list[float]] = {}
    for entry in entries:
        key = hashlib.sha256("".join([entry.kind, *map(sha256, (*entry.files, args.text))]).encode()).hexdigest()
        mine = known.setdefault(key, {"name": entry.name, "losses": []})["losses"]

        def more(line: dict[str, Any], entry: Entry = entry, mine: list[float] = mine) -> None:
            if "loss" in line:
                mine.append(line["loss"] / (WINDOW - 1))
                path.write_text(json.dumps(known, indent=1) + "\n")
                print(f"{entry.name}: window {len(mine)}, perplexity {np.exp(np.mean(mine)):.3f}", flush=True)

        if len(mine) < len(tokens):
            np.save(args.out / "windows.npy", tokens[len(mine) :])
            wish = ("--ids", str(args.out / "windows.npy"), "--threads", str(max(args.threads)))
            with reporting():
                entry.run("losses", *wish, each=more)
        result[entry.name] = mine[: len(tokens)]
    return result


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """One engine that fails does not stop the others."""
    try:
        yield
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"failed: {error}", flush=True)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but work."""
    others = [subprocess.Popen(SPINNING) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def streaming(folder: Path) -> Path:
    """The program that measures how fast memory is read."""
    made = folder / "stream"
    command = [*compiler(), "-O3", "-march=native", str(HERE / "stream.c"), "-lpthread", "-o", str(made)]
    subprocess.run(command, check=True)
    return made


def bandwidth(program: Path, size: int, threads: int) -> float:
    """GB/s at which so many threads read a block of so many bytes again and again."""
    return float(subprocess.run([program, str(size), str(threads)], check=True, capture_output=True, text=True).stdout)


def measure(entries: Sequence[Entry], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows of measurements, round by round; who comes first goes round too."""
    stream = streaming(args.out)
    wish = ("--prompt", str(args.prompt), "--new", str(args.new))
    for number in range(args.rounds):
        turned = [*entries[number % len(entries) :], *entries[: number % len(entries)]]
        for threads in args.threads:
            yield {
                "stream": bandwidth(stream, STREAMED, threads),
                "round": number,
                "threads": threads,
                "load": os.getloadavg()[0],
            }
            for others in args.busy:
                with busy(others):
                    for entry in turned:
                        prefill = ("--prefill", "0" if others else str(args.prefill))
                        with reporting():
                            found = entry.run("speed", "--threads", str(threads), *wish, *prefill, timeout=TIMEOUT)
                            yield {"name": entry.name, "round": number, "threads": threads, "busy": others, **found}
                            line = f"round {number + 1}: {entry.name}, {threads} threads, {others} others"
                            print(f"{line}: {found['decode']:.1f} tokens/s", flush=True)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    info = Path("/proc/cpuinfo")
    names = (
        [x.partition(":")[2].strip() for x in info.read_text().splitlines() if "model name" in x]
        if info.exists()
        else []
    )
    return {"processor": (names or [platform.processor()])[0], "cores": os.cpu_count(), "system": platform.platform()}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="compiled folders")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument(
        "--kernels",
        nargs="+",
        default=["dense", "event", "add"],
        help="to emit each folder for; own: as it was compiled",
    )
    parser.add_argument(
        "--option", nargs="*", default=["floats=f16"], help="other options of the backend (default floats=f16)"
    )
    parser.add_argument("--model", type=Path, help="the source, a .gguf file")
    parser.add_argument("--peers", type=Path, help="the folder that benchmarks/peers.py made")
    parser.add_argument("--text", type=Path, help="text whose perplexity stands in the table")
    parser.add_argument("--windows", type=int, default=20, help="of 2048 tokens each (default 20)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--busy", type=int, nargs="+", default=[0], help="other busy processes: 0 1 measures both")
    parser.add_argument("--prompt", type=int, default=32, help="tokens before those that are decoded")
    parser.add_argument("--new", type=int, default=128, help="tokens decoded")
    parser.add_argument("--prefill", type=int, default=512, help="tokens of the prompt whose speed is measured")
    parser.add_argument("--only", nargs="*", default=[], help="engines with one of these words in their name")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    options = dict(option.split("=", 1) for option in args.option)
    made = []
    for folder, kernels in product(args.folders, args.kernels):
        with reporting():
            made.append(ours(folder, kernels, options, args.out))
    found = [e for e, _ in made] + list(peers(args.model, args.peers))
    entries = [e for e in found if not args.only or any(word in e.name for word in args.only)]
    about = {e.name: facts for e, facts in made}
    for entry in entries:
        with reporting():
            about[entry.name] = {**about.get(entry.name, {}), **entry.run("about")}
            about[entry.name].setdefault("weights", sum(f.stat().st_size for f in entry.files))
    told: dict[str, Any] = {
        "command": sys.argv,
        "machine": machine(),
        "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k != "folders"},
        "base": BASE,
        "source": SOURCE,
        "about": about,
        "losses": {},
        "profile": {},
        "rounds": [],
    }
    if args.text:
        source = [Entry(SOURCE, "source", args.model, (args.model,))] if args.model else []
        tokenizer = open_artifact(args.folders[0]).tokenizer()
        told["losses"] = losses([*source, *entries], args, tokenizer)
    try:
        for row in measure(entries, args):
            told["rounds"].append(row)
        for entry in entries:
            if entry.kind == "c":
                told["profile"][entry.name] = {str(t): entry.run("profile", "--threads", str(t)) for t in args.threads}
    finally:  # what there is when someone stops it
        write(told, args.out)


if __name__ == "__main__":
    main()
