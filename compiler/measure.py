"""What a compiled program costs and how close it stays to its source: the contents of metrics.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends.reference import ReferenceRunner
from ..ir import Program, Store
from ..ir.interpreter import Interpreter
from .coverage import coverage
from .energy.constants import FITTED_TOKENS
from .energy.from_program import work_of_program
from .energy.table import brief
from .energy.traffic import Memory
from .fidelity import fidelity
from .likelihood import likeness
from .spikes import firing, layers, rates, split

Progress = Callable[[int, int, str], None]


def measure(
    source: Program,
    program: Program,
    store: Store,
    tokens: NDArray[np.int64],
    progress: Progress = lambda d, t, w: None,
) -> dict[str, Any]:
    """Run source and compiled program on held-out tokens i64 [N, L] by the reference interpreter.

    Gives likeness to the source (causal programs), firing in all and per layer, energy by three rules, coverage; and
    `rates`, which belong into the program (see spikes.rates).
    """
    runner = ReferenceRunner(program, store)
    dense = Interpreter(source, store)
    found: dict[str, Any] = {"coverage": [asdict(s) for s in coverage(program)]}
    if "logits" in program.outputs and program.meta.get("causal", True):

        def run_source(ids: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
            return {k: v.numpy() for k, v in dense.run({"ids": torch.from_numpy(ids)}).items()}

        like = likeness(run_source, runner.run, tokens, progress=progress)
        found["likeness"] = {**asdict(like), "ratio": like.ratio}
    else:
        runner.run(tokens)
    stats = runner.stats()
    linears, attention = split(program, stats)
    found["firing"] = {"linear": asdict(firing(program, linears)), "attention": asdict(firing(program, attention))}
    lost = fidelity(program, store, tokens, progress=lambda d, t, _: progress(d, t, "γ of each encoder"))
    found["layers"] = [
        {**line, **(asdict(lost[c.op]) if c.op in lost else {})}
        for line, c in zip(layers(program, stats), stats.counts, strict=True)
    ]
    found["tokens"] = stats.tokens
    found["rates"] = rates(program, stats)
    found["energy"] = brief(work_of_program(program, found["layers"], stats.tokens, FITTED_TOKENS, "program"), Memory())
    return found
