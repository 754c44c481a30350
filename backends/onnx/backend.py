"""The ONNX backend: a program becomes one model file that unmodified onnxruntime runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx_ir as onnx

from ...ir import IRError, Program, Store, print_program
from ..container import PROGRAM, program_hash
from ..interface import Runner
from .emitter import OPSET, Emitter
from .options import OPTIONS, Options
from .printers import PRINTERS
from .runner import MODEL, ONNXRunner

DATA = f"{MODEL}_data"
MAP = "map.json"
# Weights beyond this stand in a file of their own; protobuf itself ends at 2 GiB and is slow long before.
LARGE = 64 << 20


class ONNXBackend:
    """Functions of the model's own for spike ops, standard nodes for the rest, weights as initializers."""

    name = "onnx"
    summary = "an ONNX model for prefill and decoding with a KV cache, run by unmodified onnxruntime"
    options = OPTIONS

    def check(self, options: Mapping[str, str]) -> None:
        """Raises IRError for a wrong option."""
        Options.parse(options)

    def supports(self, program: Program) -> list[str]:
        """Ops that are not in the table."""
        return [
            f"{op.name} at {op.loc.module or '<no module>'}: the onnx backend has no form for it"
            for op in program.ops
            if op.name not in PRINTERS
        ]

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        """Write model.onnx, model.onnx_data where the weights are large, and map.json into `out`.

        Raises IRError if the program is not supported or an option is wrong.
        """
        chosen = Options.parse(options)
        if reasons := self.supports(program):
            raise IRError("; ".join(reasons))
        made = emitted(program, store, chosen)
        model = made.model(_metadata(program, chosen), version("sdllm"))
        out.mkdir(parents=True, exist_ok=True)
        size = sum(v.const_value.nbytes for v in made.initializers.values() if v.const_value is not None)
        (out / DATA).unlink(missing_ok=True)
        data = DATA if size > LARGE else None
        onnx.save(model, out / MODEL, external_data=data, size_threshold_bytes=1024, alignment=4096)
        (out / MAP).write_text(json.dumps(made.map, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _provide_text(out, program)
        return {
            "entry": MODEL,
            "opset": OPSET,
            "mode": chosen.mode,
            "steps": chosen.steps,
            "functions": [f.name for f in made.functions.values()],
            "weights_bytes": size,
        }

    def load(self, out: Path) -> Runner:
        """A runner of the model in `out`."""
        return ONNXRunner(out)


def emitted(program: Program, store: Store, options: Options) -> Emitter:
    """Every op of a program in its form."""
    made = Emitter(program, store, options)
    for op in program.ops:
        made.emit(op, PRINTERS[op.name])
    return made


def _metadata(program: Program, options: Options) -> dict[str, str]:
    """What the model file itself says of where it comes from."""
    told = {key: value for key, value in program.meta.items() if key != "firing"}
    return {
        "sdllm.program_sha256": program_hash(program),
        "sdllm.meta": json.dumps(told, sort_keys=True),
        "sdllm.mode": options.mode,
        "sdllm.steps": options.steps,
    }


def _provide_text(out: Path, program: Program) -> None:
    """The program's text beside the model, unless the artifact around has it: a runner reads its types."""
    own, beside, text = out / PROGRAM, out.parent / PROGRAM, print_program(program)
    if beside.exists() and beside.read_text(encoding="utf-8") == text:
        own.unlink(missing_ok=True)
    else:
        own.write_text(text, encoding="utf-8", newline="\n")
