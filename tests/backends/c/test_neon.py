"""The NEON kernels, run by an emulator: byte for byte what the portable kernels compute on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sdllm.backends.c.build import FLAGS, OBJECTS, compiler
from sdllm.compiler.recipes import parse_pipeline
from sdllm.ir import CSD, GridWeight, Program, RowWeight, Segment
from sdllm.passes import Context, run_pipeline

from ...ir.samples import random_value
from ...toys import toy_decoder
from ..test_whole_models import ids_of
from .common import emit
from .test_matrix import GRIDS, head
from .test_models import ALL
from .test_products import CODES, KERNELS, QUICK, TOKENS, products

CROSS, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
MISSING = [tool for tool in (CROSS, EMULATOR) if shutil.which(tool) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"there is no {' and no '.join(MISSING)}"),
]


@dataclass(frozen=True)
class Machine:
    """How to compile for a processor and run there; with what models share, compiled once."""

    build: tuple[str, ...]
    run: tuple[str, ...]
    isa: str
    objects: Path

    def compile(self, source: Path, include: Path, to: Path) -> None:
        command = [*self.build, *FLAGS, "-Werror", "-O1", "-I", str(include), "-c", str(source), "-o", str(to)]
        subprocess.run(command, check=True)

    def said(self, folder: Path, given: Path) -> bytes:
        """All that the model in a folder computes."""
        program, model = folder / f"replay-{self.isa}", folder / f"model-{self.isa}.o"
        self.compile(folder / "model.c", folder, model)
        objects = [str(model), *map(str, sorted(self.objects.glob("*.o")))]
        subprocess.run([*self.build, "-static", *objects, "-lm", "-lpthread", "-o", str(program)], check=True)
        command = [*self.run, str(program), str(folder / "weights.bin"), self.isa, str(given)]
        return subprocess.run(command, check=True, capture_output=True).stdout


PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "here": ((*compiler(), "-DSD_ONLY_PORTABLE"), (), "portable"),
    "neon": ((CROSS,), (EMULATOR,), "neon"),
    "neon with dot products": ((CROSS, "-march=armv8.2-a+dotprod"), (EMULATOR, "-cpu", "max"), "neon"),
}


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    made = {}
    for name, (build, run, isa) in PLACES.items():
        out = tmp_path_factory.mktemp("machine")
        machine = made[name] = Machine(build, run, isa, out)
        folder = emit(*toy_decoder(1), out / "any")
        for source in [folder / f"{n}.c" for n in OBJECTS if n != "model"] + [Path(__file__).with_name("replay.c")]:
            machine.compile(source, folder, out / f"{source.stem}.o")
    return made


def given(program: Program, folder: Path, inputs: dict[str, Any]) -> Path:
    """Inputs by name, ids among them, as replay.c reads them."""
    shapes = json.loads((folder / "shapes.json").read_text())
    ids = np.asarray(inputs["ids"])[0]
    sizes = {"B": 1, "S": len(ids), "P": 0, "P+S": len(ids)}
    arrays = [
        b"" if name in ("ids", "mask") or name not in inputs else np.asarray(inputs[name])[0].astype(dtype).tobytes()
        for name, (dtype, *_) in shapes["inputs"].items()
    ]
    results = [
        int(np.prod([sizes.get(d, d) for d in shape])) * np.dtype(dtype).itemsize
        for dtype, shape, *_ in shapes["outputs"].values()
    ]
    head = [len(ids), len(arrays), len(results), *map(len, arrays), *results, *ids]
    path = folder / "inputs"
    path.write_bytes(np.array(head, dtype="<i8").tobytes() + b"".join(arrays))
    return path


def check(machines: dict[str, Machine], program: Program, folder: Path, inputs: dict[str, Any]) -> None:
    path = given(program, folder, inputs)
    said = {name: machine.said(folder, path) for name, machine in machines.items()}
    assert len(said["here"]) > 1000
    for name, found in said.items():
        assert found == said["here"], name


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("centred", [False, True], ids=["plain", "centred"])
@pytest.mark.parametrize("name", CODES)
def test_products(name: str, centred: bool, kernels: str, machines: dict[str, Machine], tmp_path: Path) -> None:
    program, store = products(CODES[name], centred=centred)
    rng = np.random.default_rng(7)
    inputs = {v.name: random_value(v.type, rng, {"B": 1, "S": TOKENS, "P": 0}) for v in program.inputs}
    inputs["n"] *= torch.from_numpy(rng.random(inputs["n"].shape) < 0.6)
    check(machines, program, emit(program, store, tmp_path, kernels=kernels), inputs)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ALL)
def test_models(name: str, kernels: str, machines: dict[str, Machine], tmp_path: Path) -> None:
    program, store = toy_decoder(1, **ALL[name])
    check(machines, program, emit(program, store, tmp_path, kernels=kernels), {"ids": ids_of(1, 9)})


@pytest.mark.parametrize("of", [g for g in GRIDS if g.bits <= 4], ids=str)
def test_nibbles_that_meet_floats(of: GridWeight, machines: dict[str, Machine], tmp_path: Path) -> None:
    program, store = head(of)
    emit(program, store, tmp_path)
    check(machines, program, tmp_path, {"ids": np.arange(7)[None]})


def test_narrow_offsets(machines: dict[str, Machine], tmp_path: Path) -> None:
    code = CSD(7)
    program, store = products((Segment(0, QUICK, code),), [RowWeight(4, 32, (300, QUICK))])
    program = run_pipeline(program, parse_pipeline("narrow-offsets"), Context(store))
    rng = np.random.default_rng(9)
    inputs = {v.name: random_value(v.type, rng, {"B": 1, "S": TOKENS, "P": 0}) for v in program.inputs}
    emit(program, store, tmp_path, kernels="dense")
    check(machines, program, tmp_path, inputs)
