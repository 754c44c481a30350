"""Programs from text with weights from a seed: what a text test leaves open."""

from __future__ import annotations

import re
import zlib

import numpy as np
from sdllm.ir import FixedWeight, Program, Store, parse_program, parse_weight_type
from sdllm.passes.grids import round_to_nearest

_WEIGHT = re.compile(r"^weight @(\S+) : (\S.*?)(?: sha256:\w+)?$", re.MULTILINE)


def seeded(text: str) -> tuple[Program, Store]:
    """A program whose weight lines name no hash: float weights are drawn from their name, and enter a store."""
    store = Store()

    def fill(match: re.Match[str]) -> str:
        name, of = match[1], parse_weight_type(match[2])
        random = np.random.default_rng(zlib.crc32(name.encode()))
        values = random.normal(size=of.shape).astype(np.float32) / np.sqrt(of.shape[-1])
        if isinstance(of, FixedWeight):
            weight = store.put(name, of, {"codes": np.rint(values * 2**of.frac)})
        elif "codes" in of.forms:
            weight = store.put(name, of, round_to_nearest(values, of))
        else:
            weight = store.put_float(name, values)
        return f"weight @{name} : {of} sha256:{weight.sha256}"

    program = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    return parse_program(_WEIGHT.sub(fill, program) + "\nend\n"), store


def tokens(program: Program, sequences: int = 3, length: int = 12) -> np.ndarray:
    """Seeded calibration tokens for a program whose vocabulary is the rows of @embed."""
    rows = program.weights["embed"].type.shape[0]
    return np.random.default_rng(7).integers(0, rows, (sequences, length))
