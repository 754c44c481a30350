"""--check-numerics: after each pass the program is run beside the captured one; a breach names the module."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import Op, Program, Store
from ..ir.interpreter import Interpreter
from ..passes import PassError, Step

_READS = ("nn.linear", "spike.read_out")


@dataclass
class NumericsCheck:
    """A listener of the pass manager.

    An exact pass may change outputs by no more than `tolerance` (relative L2). Any other may move the output
    distribution by at most `max_kl` nats a token from the captured model's. Raises PassError on a breach, naming the
    first module (exact) or that whose error grew most.
    """

    origin: Program
    store: Store
    tokens: NDArray[np.int64]
    tolerance: float = 1e-3
    max_kl: float = 3.0

    def __call__(self, step: Step) -> None:
        ids = torch.from_numpy(self.tokens)
        before, after = (_run(p, self.store, ids) for p in (step.before, step.after))
        if step.ran.exact:
            error = max(_relative(after.outputs[k], before.outputs[k]) for k in before.outputs)
            if not error <= self.tolerance:
                module = _first(before.norms, after.norms, self.tolerance)
                raise PassError(
                    f"{step.ran.name} changed outputs by {error:.2e} (limit {self.tolerance}); first at {module}"
                )
            return
        if "logits" not in after.outputs:
            return
        source = _run(self.origin, self.store, ids)
        kl = _kl(source.outputs["logits"], after.outputs["logits"])
        if not kl <= self.max_kl:
            module = _worst(before.norms, after.norms)
            raise PassError(
                f"{step.ran.name}: KL to the source is {kl:.3g} nats a token (limit {self.max_kl}); most at {module}"
            )


@dataclass(frozen=True, slots=True)
class _Seen:
    outputs: dict[str, torch.Tensor]
    norms: dict[str, torch.Tensor]


def _run(program: Program, store: Store, ids: torch.Tensor) -> _Seen:
    """Outputs, and the length of each linear's output for each token, which a rotation leaves alone."""
    norms: dict[str, torch.Tensor] = {}

    def watch(op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        if op.name in _READS:
            norms[op.loc.module] = results[0].norm(dim=-1)

    return _Seen(Interpreter(program, store).run({"ids": ids}, watch=watch), norms)


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


def _kl(source: torch.Tensor, other: torch.Tensor) -> float:
    a, b = torch.log_softmax(source, -1), torch.log_softmax(other, -1)
    return float((a.exp() * (a - b)).sum(-1).mean())


def _first(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], tolerance: float) -> str:
    return next((m for m in before if m in after and not _relative(after[m], before[m]) <= tolerance), "the output")


def _worst(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> str:
    errors = {m: _relative(after[m], before[m]) for m in before if m in after}
    modules = list(errors)
    growth = {m: errors[m] - (errors[modules[i - 1]] if i else 0.0) for i, m in enumerate(modules)}
    return max(growth, key=lambda m: growth[m], default="the output")
