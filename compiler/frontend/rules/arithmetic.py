"""What is left between the larger patterns: sums, products and constants."""

from __future__ import annotations

from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Match, MatchFailure, Num, Param, Value
from ..rule import rule
from .calls import add as plus
from .calls import call, div, sub
from .calls import mul as times

X, Y = Value("x"), Value("y")


def _float(m: Match) -> None:
    if not m["x"].meta["val"].dtype.is_floating_point:
        raise MatchFailure(f"'x' is {m['x'].meta['val'].dtype}, not float", m.nodes[0], m.nodes)


@rule(times(X, Num("by")), check=_float)
def scale(m: Match, out: Emit) -> IRValue:
    """A constant factor: embedding, residual and logit multipliers."""
    return out.op("nn.scale", m["x"], by=float(m["by"]))


@rule(div(X, Num("by")), check=_float)
def divide(m: Match, out: Emit) -> IRValue:
    """A constant divisor."""
    return out.op("nn.scale", m["x"], by=1.0 / float(m["by"]))


@rule(call("neg", X), check=_float)
def negate(m: Match, out: Emit) -> IRValue:
    """-x."""
    return out.op("nn.scale", m["x"], by=-1.0)


@rule(plus(X, Param("b", axes=1)), check=_float)
def bias(m: Match, out: Emit) -> IRValue:
    """A weight vector added on the last axis."""
    return out.op("nn.bias", m["x"], weights=[out.weight(m["b"])])


@rule(plus(X, Y), check=_float)
def add(m: Match, out: Emit) -> IRValue:
    """x + y."""
    return out.op("nn.add", m["x"], m["y"])


@rule(sub(X, Y), check=_float)
def subtract(m: Match, out: Emit) -> IRValue:
    """x - y."""
    return out.op("nn.add", m["x"], out.op("nn.scale", m["y"], by=-1.0))


@rule(times(X, Y), check=_float)
def mul(m: Match, out: Emit) -> IRValue:
    """x · y, as in gated layers."""
    return out.op("nn.mul", m["x"], m["y"])


RULES = (scale, divide, negate, bias, add, subtract, mul)
