"""Why an op runs on spikes, or which rule came closest to putting it there and what it wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..backends.counting import DRIVEN, code_text, spiked_operand
from ..ir import Op, Program, Tensor
from ..passes import split_pipeline
from ..passes.graph import heads
from .coverage import stays_float

ENCODERS = "insert-encoders"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one op: its value's name, whether it runs on spikes, and in words why, or why not."""

    value: str
    op: str
    on_spikes: bool
    why: str
    closest: str | None = None
    """The rule that came closest, of those that put products on spikes; None for an op that is on them."""
    failed: str | None = None
    """What that rule wanted and did not find."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule looks at."""

    program: Program
    op: Op
    passes: Mapping[str, Mapping[str, str]]


Check = tuple[str, Callable[[Case], bool]]

# What insert-encoders wants of an op, in the order in which it looks; the text says what is so where a check fails.
RULES: Mapping[str, Sequence[Check]] = {
    "linear layer on spikes": (
        ("it is no product with a matrix of weights", lambda c: c.op.name == "nn.linear"),
        ("the pipeline has no pass insert-encoders", lambda c: ENCODERS in c.passes),
        ("it is the head, which decides between close logits and is kept float", lambda c: not _is_head(c)),
        ("an encoder's output was not there when insert-encoders ran", lambda c: False),
    ),
    "attention on spikes": (
        ("it is no attention", lambda c: c.op.name == "nn.attend"),
        ("the pipeline has no pass insert-encoders", lambda c: ENCODERS in c.passes),
        ("insert-encoders ran with attention=false", lambda c: c.passes[ENCODERS].get("attention") != "false"),
        ("keys and values are not kept in a state as floats, though it is causal", lambda c: _cached(c)),
        ("an encoder's output was not there when insert-encoders ran", lambda c: False),
    ),
}


def verdict(program: Program, op: Op, pipeline: Sequence[str], firing: Mapping[str, Any] | None = None) -> Verdict:
    """Judge one op of a compiled program; `firing` is its line of metrics.json, if it has one."""
    if op.name in DRIVEN:
        measured = f": {firing['spikes_per_activation']:.3g} spikes an activation" if firing else ""
        return Verdict(op.result.name, op.name, True, f"spikes of {code_text(spiked_operand(op))} drive it{measured}")
    if op.name.startswith("lif."):
        return Verdict(op.result.name, op.name, True, "it works on the trains of LIF neurons")
    if op.name.startswith(("spike.", "int.")):
        return Verdict(op.result.name, op.name, True, "it stands between floats and spikes: " + stays_float(op)[1])
    case = Case(program, op, dict(split_pipeline(",".join(pipeline))))
    name, passed, failed = max((_try(name, checks, case) for name, checks in RULES.items()), key=lambda x: x[1])
    kind, reason = stays_float(op)
    why = "a matrix product in float" if passed else f"{kind}: {reason}"
    return Verdict(op.result.name, op.name, False, why, name, failed)


def _try(name: str, checks: Sequence[Check], case: Case) -> tuple[str, int, str]:
    """How many checks pass before one fails, and what that says."""
    for passed, (text, check) in enumerate(checks):
        if not check(case):
            return name, passed, text
    raise AssertionError(f"{name}: the last check of a rule fails for what is still in float")


def _is_head(case: Case) -> bool:
    return case.op.result.name in heads(case.program)


def _cached(case: Case) -> bool:
    makers = case.program.producers()
    kept = [makers.get(o.name) for o in case.op.operands[1:3]]
    floats = all(m is not None and m.name == "state.append" and isinstance(m.operands[0].type, Tensor) for m in kept)
    return floats or not case.op.attrs["causal"]
