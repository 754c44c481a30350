"""What a linear layer costs by each kernel: a table measured on a processor, and what it predicts."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...ir import IRError
from .build import cache

FORMAT = 1
KERNELS = ("dense", "event", "add")
# How codes are held: nibbles in rows on one scale and groups of 32 (which dense and event have a quick way for), other
# nibbles, bytes.
FORMS = ("rows", "nibbles", "bytes")
SHIPPED = Path(__file__).with_name("costs.json")


@dataclass(frozen=True, slots=True)
class Curve:
    """Microseconds of one call on one token, by the share of inputs that are not 0, on one thread."""

    kernel: str
    form: str
    width: int
    out: int
    shares: tuple[float, ...]
    microseconds: tuple[float, ...]

    @property
    def size(self) -> int:
        """Weights of the matrix."""
        return self.width * self.out


@dataclass(frozen=True, slots=True)
class Costs:
    """A table and where it is from: `measured` on a user's machine, or shipped."""

    curves: tuple[Curve, ...]
    cpu: str
    isa: str
    sha256: str
    measured: bool

    def predict(self, kernel: str, form: str, width: int, out: int, share: float) -> float:
        """Microseconds of a call: those of the matrix measured whose shape is nearest, by the number of weights."""
        curve = min(
            (c for c in self.curves if (c.kernel, c.form) == (kernel, form)),
            key=lambda c: abs(math.log(c.width / width)) + abs(math.log(c.out / out)),
        )
        return float(np.interp(share, curve.shares, curve.microseconds)) * width * out / curve.size

    @property
    def told(self) -> dict[str, Any]:
        """For the manifest."""
        table = "measured" if self.measured else "shipped"
        return {"table": table, "sha256": self.sha256, "cpu": self.cpu, "isa": self.isa}


def own_table() -> Path:
    """Where calibrate-machine keeps this machine's table: in the user's cache."""
    return cache().parent / "costs.json"


def where(given: str = "") -> Path:
    """The table that counts: the given one, that of $SDLLM_COSTS, this machine's own, or the shipped one."""
    if named := given or os.environ.get("SDLLM_COSTS", ""):
        return Path(named)
    return own_table() if own_table().is_file() else SHIPPED


def read(path: Path) -> Costs:
    """A table from its file. Raises IRError, in one line, if it is none."""
    try:
        data = path.read_bytes()
        found = json.loads(data)
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}, this sdllm reads {FORMAT}")
        curves = tuple(_curve(c) for c in found["curves"])
        for kernel in KERNELS:
            for form in FORMS:
                if not any((c.kernel, c.form) == (kernel, form) for c in curves):
                    raise ValueError(f"nothing about {kernel} on {form}")
        cpu, isa = str(found["cpu"]), str(found["isa"])
    except OSError as error:
        raise IRError(f"{path}: no cost table can be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise IRError(
            f"{path}: is no cost table ({why}); make it again with sdllm-compile calibrate-machine -o {path}"
        ) from error
    return Costs(curves, cpu, isa, hashlib.sha256(data).hexdigest(), path != SHIPPED)


def _curve(found: Mapping[str, Any]) -> Curve:
    shares = tuple(float(x) for x in found["shares"])
    times = tuple(float(x) for x in found["microseconds"])
    curve = Curve(str(found["kernel"]), str(found["form"]), int(found["width"]), int(found["out"]), shares, times)
    rising = all(a < b for a, b in pairwise(shares))
    numbers = [curve.width, curve.out, *times]
    if not (shares and len(shares) == len(times) and rising and all(0 < x < math.inf for x in numbers)):
        raise ValueError(f"its times of {curve.kernel} on {curve.form} {curve.width}x{curve.out} make no sense")
    return curve


__all__ = ["FORMS", "KERNELS", "Costs", "Curve", "own_table", "read", "where"]
