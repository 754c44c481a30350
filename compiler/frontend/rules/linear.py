"""Linear layers: `linear`, and `addmm` with the weight the other way round (GPT-2's Conv1D)."""

from __future__ import annotations

from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Absent, Given, Match, Param, Value
from ..rule import rule
from .calls import call, either

X, W = Value("x"), Param("w", axes=2)
_bias = either(Param("b", axes=1), Given(Absent(), "b", None))


@rule(call("linear", X, W, _bias))
def linear(m: Match, out: Emit) -> IRValue:
    """x·Wᵀ + b."""
    biases = [] if m["b"] is None else [out.weight(m["b"])]
    return out.op("nn.linear", m["x"], weights=[out.weight(m["w"]), *biases])


@rule(call("addmm", Param("b", axes=1), X, W))
def conv1d(m: Match, out: Emit) -> IRValue:
    """x·W + b: the program's weight is Wᵀ."""
    return out.op("nn.linear", m["x"], weights=[out.weight(m["w"], transpose=True), out.weight(m["b"])])


RULES = (linear, conv1d)
