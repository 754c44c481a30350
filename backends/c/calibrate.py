"""Timing the library's own kernels: the cost table of this machine."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import Builder, Code, DigitRamp, GridWeight, Loc, Program, RowWeight, Segment, Spikes, Store, Tensor
from .costs import FORMAT, KERNELS

Shape = tuple[int, int]  # inputs, outputs
Progress = Callable[[int, int, str], None]

# Square, tall and wide matrices, small and large.
SHAPES: dict[str, Sequence[Shape]] = {
    "rows": ((576, 576), (576, 3072), (1536, 576), (2048, 2048), (2048, 8192)),
    "nibbles": ((576, 576), (2048, 2048)),
    "bytes": ((576, 576), (2048, 2048)),
}
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)

CODE = DigitRamp(6, 4, 10)
_BYTES = 1 << 20  # of codes that a call reads at least, so that the clock is fine enough
_CACHES = 1 << 26  # bytes that are walked over between calls: a model's weights come from memory each time


def program(form: str, shape: Shape, copies: int, *, alike: bool = False, code: Code = CODE) -> tuple[Program, Store]:
    """So many matrices of random codes (alike: the same ones), each on counts of its own, or else they would become one
    matrix."""
    width, out = shape
    b, store, rng = Builder(), Store(), np.random.default_rng(0)
    b.input("ids", Tensor("i64", ("B", "S")))
    v = b.input("v", Tensor("f32", ("B", "S", 1)))
    kinds: dict[str, RowWeight | GridWeight] = {
        "rows": RowWeight(4, 32, (out, width)),
        "nibbles": GridWeight(4, 32, False, (out, width)),
        "bytes": GridWeight(8, 32, False, (out, width)),
    }
    of = kinds[form]
    low, high = of.range
    outputs = {}
    for i in range(copies):
        rng = np.random.default_rng(0) if alike else rng
        n = b.input(f"n{i}", Spikes((Segment(0, width, code),), ("B", "S", width)))
        parts: dict[str, NDArray[Any]] = {"codes": rng.integers(low, high, of.shape, dtype=np.int8, endpoint=True)}
        if isinstance(of, RowWeight):
            parts["steps"] = rng.integers(1, 255, (out, of.groups), dtype=np.uint8)
            parts["offsets"] = rng.integers(-999, 999, (out, of.groups), dtype=np.int16)
            parts["scales"] = np.full((out, 1), 1e-3, np.float32)
        else:
            parts["scales"] = np.full((out, of.groups), 1e-3, np.float16)
        weight = b.weight(store.put(f"w{i}", of, parts))
        m = b.one("spike.linear", n, weights=[weight], loc=Loc(f"matrix.{i}"))
        outputs[f"y{i}"] = b.one("spike.read_out", m, v, weights=[weight])
    return b.program(outputs), store


def some_counts(width: int, share: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """Counts i32 [1, 1, width] of which that share are not 0, small ones oftener than large ones."""
    n = np.zeros(width, np.int32)
    at = rng.permutation(width)[: round(share * width)]
    n[at] = np.minimum(rng.geometric(0.25, at.size), 30) * rng.choice([-1, 1], at.size)
    return n.reshape(1, 1, width)


def curves(
    form: str,
    shape: Shape,
    shares: Sequence[float],
    *,
    kernels: Sequence[str] = KERNELS,
    cold: bool = True,
    isa: str = "",
    rounds: int = 7,
) -> dict[str, list[float]]:
    """Microseconds of one call by kernel and share, the least of so many rounds in which all take turns.

    One thread, one token; `cold`: weights come from memory, else from the caches that they fit into.
    """
    from . import CBackend
    from .runner import CRunner

    size = shape[0] * shape[1] // (1 if form == "bytes" else 2)
    copies = max(1, -(-_BYTES // size))
    made, store = program(form, shape, copies, alike=not cold)
    rng = np.random.default_rng(1)
    ids, v = np.zeros((1, 1), np.int64), np.ones((1, 1, 1), np.float32)
    walked = np.zeros(_CACHES // 8)
    with tempfile.TemporaryDirectory() as folder:
        runners = {}
        for kernel in kernels:
            CBackend().emit(made, store, Path(folder) / kernel, {"kernels": kernel, "context": "16"})
            runners[kernel] = CRunner(Path(folder) / kernel, threads=1, isa=isa, stats=False, profile=True)
        times: dict[str, list[list[float]]] = {kernel: [] for kernel in kernels}
        for share in shares:
            given: dict[str, NDArray[Any]] = {
                "ids": ids,
                "v": v,
                **{f"n{i}": some_counts(shape[0], share, rng) for i in range(copies)},
            }
            for kernel in kernels:
                times[kernel].append([])
            for _ in range(rounds):
                for kernel, runner in runners.items():
                    if cold:
                        walked += 1
                    before = runner.seconds["linears"]
                    runner.forward(given)
                    times[kernel][-1].append((runner.seconds["linears"] - before) / copies * 1e6)
    return {kernel: [round(min(t), 2) for t in times[kernel]] for kernel in kernels}


def measure(progress: Progress = lambda done, total, what: None) -> dict[str, Any]:
    """The table of this machine, as JSON has it (costs.py)."""
    from . import CBackend
    from .runner import CRunner

    with tempfile.TemporaryDirectory() as folder:
        CBackend().emit(*program("rows", (32, 16), 1), Path(folder), {"kernels": "dense", "context": "16"})
        isa = CRunner(Path(folder)).isa
    wanted = [(form, shape) for form, shapes in SHAPES.items() for shape in shapes]
    found = []
    for i, (form, shape) in enumerate(wanted):
        progress(i, len(wanted), f"{form} {shape[0]}x{shape[1]}")
        for kernel, times in curves(form, shape, SHARES).items():
            found.append(
                {
                    "kernel": kernel,
                    "form": form,
                    "width": shape[0],
                    "out": shape[1],
                    "shares": list(SHARES),
                    "microseconds": times,
                }
            )
    return {"format": FORMAT, "cpu": processor(), "isa": isa, "curves": found}


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
