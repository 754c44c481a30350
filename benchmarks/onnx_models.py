"""How fast onnxruntime runs a compiled program beside the source model: one command, one table.

    sdllm-compile compile MODEL.gguf -o spikes --recipe digit-ramp
    sdllm-compile compile MODEL.gguf -o source --recipe dense
    python benchmarks/onnx_models.py spikes source -o FOLDER

Both folders are emitted for backend onnx into FOLDER: the program exact and fast, the source in float32. Of the latter
onnxruntime's own tools make an 8-bit (dynamic) and a 4-bit (MatMulNBits, blocks of 32, accuracy level 4) model. Every
measurement has a process of its own, one after the other, round by round; who comes first goes round too. Writes
FOLDER/onnx.md, and FOLDER/onnx.json with every round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sdllm.backends.container import PROGRAM
from sdllm.backends.onnx import ONNXBackend
from sdllm.backends.onnx.runner import MODEL, ONNXRunner
from sdllm.compiler.artifact import open_artifact

BASE = "source, float32"


def models(args: argparse.Namespace) -> dict[str, Path]:
    """Every model by name; those that are there already are kept."""
    found = {}
    for mode in ("exact", "fast"):
        found[f"spikes, {mode}"] = emitted(args.spikes, args.out / mode, mode)
    found[BASE] = emitted(args.source, args.out / "float32", "exact")
    for name, make in (("int8", int8), ("int4", int4)):
        folder = args.out / name
        if not (folder / MODEL).exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(plain(found[BASE]), folder / MODEL)
            shutil.copyfile(found[BASE] / PROGRAM, folder / PROGRAM)
        found[f"source, {name}"] = folder
    return found


def emitted(compiled: Path, folder: Path, mode: str) -> Path:
    """A compiled folder as ONNX."""
    if not (folder / MODEL).exists():
        artifact = open_artifact(compiled)
        ONNXBackend().emit(artifact.program, artifact.store, folder, {"mode": mode})
    return folder


def plain(folder: Path) -> Path:
    """The model with its weights as the quantisers look for them: functions inlined, constants folded."""
    import onnxruntime

    made = folder / "plain.onnx"  # beside the weights, which it still names
    if not made.exists():
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(made)
        onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
    return made


def int8(model: Path, to: Path) -> None:
    """Weights as bytes, activations quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(model, to, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)


def int4(model: Path, to: Path) -> None:
    """Weights in blocks of 4 bits."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    made = MatMulNBitsQuantizer(onnx.load(model), block_size=32, is_symmetric=True, accuracy_level=4)
    made.process()
    made.model.save_model_to_file(str(to), use_external_data_format=False)


def words(n: int) -> np.ndarray:
    """A prompt: token ids spread over the first 40,000, the same for all."""
    return (np.arange(n, dtype=np.int64) * 7919) % 40000 + 100


def speed(folder: Path, threads: int, args: argparse.Namespace) -> dict[str, float]:
    """Tokens/s of decoding (by the median step) and of one prompt, seconds to load."""
    clock = time.perf_counter
    began = clock()
    runner = ONNXRunner(folder, threads=threads, stats=False)
    runner.prefill(words(2))
    load, times = clock() - began, []
    runner.reset()
    token = int(runner.prefill(words(args.prompt)).argmax())
    for _ in range(args.new):
        began = clock()
        token = int(runner.step(token).argmax())
        times.append(clock() - began)
    runner.reset()
    began = clock()
    runner.prefill(words(args.prefill))
    return {"decode": 1 / median(times), "prefill": args.prefill / (clock() - began), "load": load}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spikes", type=Path, help="compiled folder")
    parser.add_argument("source", type=Path, help="the same model under --recipe dense")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--prompt", type=int, default=32, help="tokens before those that are decoded")
    parser.add_argument("--new", type=int, default=64, help="tokens decoded")
    parser.add_argument("--prefill", type=int, default=256, help="tokens of the prompt whose speed is measured")
    parser.add_argument("--prepare", action="store_true", help="only make the models")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "THREADS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(args: argparse.Namespace, found: dict[str, Path]) -> list[dict[str, Any]]:
    """Rows of measurements."""
    rows, names = [], list(found)
    for number in range(args.rounds):
        for threads in args.threads:
            for name in [*names[number % len(names) :], *names[: number % len(names)]]:
                command = [sys.executable, *sys.argv, "--one", str(found[name]), str(threads)]
                told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                rows.append({"name": name, "round": number, "threads": threads, **told})
                print(f"round {number + 1}: {name}, {threads} threads: {told['decode']:.1f} tokens/s", flush=True)
    return rows


def table(rows: list[dict[str, Any]], found: dict[str, Path]) -> str:
    """Medians of the rounds, and over float32 round by round."""
    lines = [
        "| model | threads | decode tok/s | × float32 | prefill tok/s | load s | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for threads in sorted({r["threads"] for r in rows}):
        own = [r for r in rows if r["threads"] == threads]
        base = {r["round"]: r["decode"] for r in own if r["name"] == BASE}
        for name, folder in found.items():
            mine = [r for r in own if r["name"] == name]
            decode, prefill, load = (median(r[key] for r in mine) for key in ("decode", "prefill", "load"))
            ratio = median(r["decode"] / base[r["round"]] for r in mine)
            size = sum(path.stat().st_size for path in folder.glob(f"{MODEL}*")) / 1e6
            lines.append(
                f"| {name} | {threads} | {decode:.1f} | {ratio:.2f} | {prefill:.0f} | {load:.1f} | {size:.0f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    args = arguments()
    if args.one:
        print(json.dumps(speed(Path(args.one[0]), int(args.one[1]), args)))
        return
    found = models(args)
    if args.prepare:
        return
    rows = measured(args, found)
    (args.out / "onnx.json").write_text(json.dumps(rows, indent=1) + "\n")
    (args.out / "onnx.md").write_text(text := table(rows, found))
    print(text)


if __name__ == "__main__":
    main()
