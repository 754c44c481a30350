"""What runs on spikes and what stays float, by share of multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import OPS, Op, Program
from ..ir.ops import Args
from ..passes.graph import heads

# Kinds of op by the work they do; what is in neither does no multiply-adds.
_SPIKED = {
    "spike.linear": "linear layers on spikes",
    "lif.linear": "linear layers on spikes",
    "spike.matmul": "attention on spikes",
    "lif.coincide": "attention on spikes",
    "lif.gather": "attention on spikes",
}


@dataclass(frozen=True, slots=True)
class Share:
    """One line of the coverage table: multiply-adds (or elementwise operations) for a call on `tokens` tokens."""

    kind: str
    spiking: bool
    operations: int
    share: float
    reason: str
    multiplies: bool


def spiking_share(shares: list[Share]) -> float:
    """Share of the multiply-adds of matrix products that run on spikes."""
    products = [s for s in shares if s.multiplies]
    return sum(s.operations for s in products if s.spiking) / (sum(s.operations for s in products) or 1)


def coverage(program: Program, tokens: int = 1024) -> list[Share]:
    """Operations of one prefill of that many tokens, by kind; shares add up to 1.

    Elementwise work (norms, softmax, activation functions, read-out) counts one operation an element.
    """
    dims = {"B": 1, "S": tokens, "P": 0}
    totals: dict[tuple[str, bool, str, bool], int] = {}
    out = heads(program)
    for op in program.ops:
        work = OPS[op.name].cost(args_of(program, op), tuple(r.type for r in op.results), dims)
        if work.macs:
            key = (*_multiplying(op, op.result.name in out), True)
            totals[key] = totals.get(key, 0) + work.macs
        if work.elementwise:
            key = (*_elementwise(op), False)
            totals[key] = totals.get(key, 0) + work.elementwise
    everything = sum(totals.values()) or 1
    shares = [Share(kind, on, n, n / everything, why, macs) for (kind, on, why, macs), n in totals.items()]
    return sorted(shares, key=lambda s: (-s.operations, s.kind))


def args_of(program: Program, op: Op) -> Args:
    """What the op table wants to know of an op."""
    return Args(
        tuple(o.type for o in op.operands),
        tuple(program.weights[w].type for w in op.weights),
        op.attrs,
        program.states[op.state].type if op.state else None,
    )


def _multiplying(op: Op, is_head: bool) -> tuple[str, bool, str]:
    if op.name in _SPIKED:
        return _SPIKED[op.name], True, ""
    if is_head:
        return "head", False, "the vocabulary projection decides between close logits; kept float"
    if op.name == "nn.attend":
        return "attention", False, "no encoder before it"
    return "linear layers", False, "no encoder before it"


def _elementwise(op: Op) -> tuple[str, bool, str]:
    kind, why = stays_float(op)
    return kind, False, why


def stays_float(op: Op) -> tuple[str, str]:
    """The kind of an op's elementwise work, and why that is not done by spikes."""
    kinds = {
        "nn.rms_norm": ("norms", "a mean and a square root"),
        "nn.layer_norm": ("norms", "a mean and a square root"),
        "nn.softmax": ("softmax", "exponentials"),
        "nn.activation": ("activation functions", "not linear"),
        "nn.rotate": ("online rotation", "additions of a Hadamard transform, and its small factor"),
        "spike.encode": ("encoders", "float to counts"),
        "int.encode": ("encoders", "float to counts"),
        "spike.read_out": ("read-out", "one multiply for each output and weight group"),
        "spike.read_matmul": ("read-out", "one multiply for each output and weight group"),
    }
    return kinds.get(op.name, ("other elementwise", "residual sums, gates, positions"))
