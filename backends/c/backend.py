"""The C backend: a program becomes a folder of C11 that anyone can build with one command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from ...ir import Current, IRError, Program, Store
from ..container import program_hash
from ..interface import Runner
from ..mapping import write_map
from .costs import read, where
from .emitter import Emitter, ctype
from .options import OPTIONS, Options
from .printers import PRINTERS
from .runner import SHAPES, CRunner, usual_threads
from .schedule import schedule
from .source import kept, model_source
from .steps import became
from .tokenizerfile import write_tokenizer
from .trains import form
from .weightfile import write_weights

RUNTIME = Path(__file__).parent / "runtime"
DTYPES = {"float": "<f4", "int8_t": "|i1", "int16_t": "<i2", "int32_t": "<i4", "int64_t": "<i8", "bool": "|b1"}


class CBackend:
    """Straight-line C with kernels for several instruction sets, weights in a file that is mapped."""

    name = "c"
    summary = "C11 without dependencies: a library and a program, fast on AVX-512, AVX2 and NEON"
    options = OPTIONS

    def check(self, options: Mapping[str, str]) -> None:
        """Raises IRError for a wrong option."""
        Options.parse(options)

    def supports(self, program: Program) -> list[str]:
        """Ops that no kernel is there for, and else the first op whose shapes or types have no form in C."""
        reasons = [
            f"{op.name} at {op.loc.module or '<no module>'}: the c backend has no kernel for it"
            for op in program.ops
            if op.name not in PRINTERS
        ]
        if reasons:
            return reasons
        try:
            model_source(schedule(program, Store(), Options(kernels="dense")))
        except IRError as error:
            return [str(error)]
        return []

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        """Write the C program, its weights and, where it has a form in C, the tokenizer into `out`.

        Options are those of `options`. `auto` takes the shares of inputs that are not 0 from the program's meta
        `firing`, by encoder; without it they count as 1. Raises IRError if the program is not supported or an option is
        wrong.
        """
        chosen = Options.parse(options)
        if reasons := self.supports(program):
            raise IRError("; ".join(reasons))
        made = schedule(program, store, chosen)
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(RUNTIME.iterdir()):
            shutil.copyfile(path, out / path.name)
        (out / "model.c").write_text(model_source(made), encoding="ascii", newline="\n")
        (out / SHAPES).write_text(json.dumps(_shapes(program), indent=1) + "\n", encoding="utf-8")
        size = write_weights(out / "weights.bin", bytes.fromhex(program_hash(program)), made.sections)
        calls = became(program, made.steps)
        write_map(out, program, lambda op: calls[op.result.name])
        text = write_tokenizer(out, out.parent)
        return {"build": "make", "entry": "run", "weights_bytes": size, **text, **_told(made)}

    def measured(self) -> Mapping[str, Any]:
        """The cost table that counts, unless it is the shipped one. Raises IRError if it is damaged."""
        path = where()
        costs = read(path)
        table: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"costs": table} if costs.measured else {}

    def load(self, out: Path) -> Runner:
        """A runner of the program in `out`, built with the C compiler if it has not been; by default on as many threads
        as there are processors, 4 at most, as a small model gains nothing from more."""
        return CRunner(out, threads=usual_threads(4))


def _shapes(program: Program) -> dict[str, Any]:
    """dtypes, shapes and forms (see trains.py) of inputs and outputs: what a caller's arrays must be."""

    def one(of: Any) -> tuple[str, list[Any], str]:
        shape = list(of.shape)
        if hasattr(of, "planes"):
            shape.insert(-1, of.planes)
        if isinstance(of, Current):
            shape.insert(-1, of.steps)
        return DTYPES[ctype(of)], shape, form(of)

    return {
        "inputs": {v.name: one(v.type) for v in program.inputs},
        "outputs": {name: one(v.type) for name, v in program.outputs.items()},
    }


def _told(made: Emitter) -> dict[str, Any]:
    """What was chosen, for the manifest."""
    told = {
        "context": made.context,
        "kernels": made.options.kernels,
        "kv_bytes": sum(prod(kept(made, name)) for name in made.states),  # a token's
        "linears": made.kernels,
    }
    return {**told, "costs": made.costs.told} if made.costs else told
