"""Where source and spike program are held side by side: outputs of linear layers and sums, with what went into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...ir import Op

T = torch.Tensor
Key = tuple[str, str]
"""Module path, and what of it: `output` of a linear layer, or `sum N`, its Nth addition."""


@dataclass
class Points:
    """Sees the ops of a run and calls `found(key, input, output)` at each point, in program order.

    The input of a spiked linear layer is what was encoded for it; None where it has no encoder.
    """

    found: Callable[[Key, T | None, T], None]
    _seen: Counter[Key] = field(default_factory=Counter)
    _inputs: dict[str, T] = field(default_factory=dict)

    def watch(self, op: Op, operands: tuple[T, ...], results: tuple[T, ...]) -> None:
        """As Interpreter.run's `watch`."""
        if op.name == "spike.encode":
            self._inputs[op.result.name] = operands[0]
        elif op.name in ("spike.linear", "spike.center"):
            if (x := self._inputs.get(op.operands[0].name)) is not None:
                self._inputs[op.result.name] = x
        elif op.name == "nn.linear":
            self._at(op, "output", operands[0], results[0])
        elif op.name == "spike.read_out":
            self._at(op, "output", self._inputs.get(op.operands[0].name), results[0])
        elif op.name == "nn.add":
            self._at(op, "sum", operands[0], results[0])

    def _at(self, op: Op, what: str, x: T | None, y: T) -> None:
        key = (op.loc.module, what)
        self._seen[key] += 1
        number = self._seen[key]
        self.found((op.loc.module, f"{what} {number}" if what == "sum" or number > 1 else what), x, y)


@dataclass(frozen=True, slots=True)
class Gap:
    """Of one point: mean over tokens of ‖y - y₀‖ / ‖y₀‖, y₀ of the source; the same of its input (None where that is
    not known); and the error of each token."""

    module: str
    what: str
    error: float
    input_error: float | None
    tokens: tuple[float, ...]

    @property
    def growth(self) -> float:
        """What the module added to the error it was given."""
        return self.error - (self.input_error or 0.0)

    def as_json(self) -> dict[str, Any]:
        """All but the single tokens."""
        given = None if self.input_error is None else rounded(self.input_error)
        return {"module": self.module, "what": self.what, "error": rounded(self.error), "input_error": given}


def rounded(x: float) -> float:
    """To five digits: what is said of a figure should not hang on the order of its sum."""
    return float(f"{x:.5g}")


@dataclass
class Side:
    """What one run had at its points: the last `tokens` tokens of input and output, f32 [tokens, ...]."""

    tokens: int
    points: dict[Key, tuple[T | None, T]] = field(default_factory=dict)

    def add(self, key: Key, x: T | None, y: T) -> None:
        """As Points.found, for a batch of one sequence."""
        self.points[key] = (None if x is None else self._last(x), self._last(y))

    def _last(self, x: T) -> T:
        return x[0, -self.tokens :].clone()


def gaps(source: Mapping[Key, tuple[T | None, T]], points: Mapping[Key, tuple[T | None, T]]) -> list[Gap]:
    """Points that both sides have, in the order of `points`."""
    found = []
    for (module, what), (x, y) in points.items():
        x0, y0 = source.get((module, what), (None, None))
        if y0 is None or y0.shape != y.shape:
            continue
        errors = relative(y, y0)
        known = x is not None and x0 is not None and x.shape == x0.shape
        given = float(relative(x, x0).mean()) if known and x is not None and x0 is not None else None
        found.append(Gap(module, what, float(errors.mean()), given, tuple(errors.tolist())))
    return found


def relative(a: T, b: T) -> T:
    """‖a - b‖ / ‖b‖ of each token: f32 [tokens] of [tokens, ...]."""
    a, b = a.flatten(1).float(), b.flatten(1).float()
    found: T = (a - b).norm(dim=1) / b.norm(dim=1).clamp(min=1e-30)
    return found
