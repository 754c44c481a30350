"""Activations, whole or spelled out, and soft-capping."""

from __future__ import annotations

import math

from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Const, Match, MatchFailure, Num, Pattern, Value
from ..rule import Rule, rule
from .calls import add, call, div, either, mul, power

X = Value("x")
SQRT_2_OVER_PI, CUBE = math.sqrt(2 / math.pi), 0.044715


def _activation(kind: str, *spellings: Pattern) -> Rule:
    """A rule for one kind and the ways it is written."""

    def build(m: Match, out: Emit) -> IRValue:
        return out.op("nn.activation", m["x"], kind=kind)

    build.__name__ = kind
    return rule(either(*spellings))(build)


def _half(x: Pattern) -> Pattern:
    return mul(x, Const(0.5))


_cubic = add(X, mul(power(X, 3), Const(CUBE)))
_nested = add(mul(mul(X, Const(CUBE)), X), Const(1))
_tanh = call("tanh", either(mul(_cubic, Const(SQRT_2_OVER_PI)), mul(mul(X, Const(SQRT_2_OVER_PI)), _nested)))
_erf = call("erf", either(div(X, Const(math.sqrt(2))), mul(X, Const(math.sqrt(0.5)))))

gelu_tanh = _activation(
    "gelu_tanh",
    call("gelu", X, Const("tanh")),
    mul(_half(X), add(_tanh, Const(1))),
    _half(mul(X, add(_tanh, Const(1)))),
)
gelu = _activation(
    "gelu", call("gelu", X, Const("none")), mul(_half(X), add(_erf, Const(1))), mul(X, _half(add(_erf, Const(1))))
)
quick_gelu = _activation("quick_gelu", mul(X, call("sigmoid", mul(X, Const(1.702)))))
silu = _activation("silu", call("silu", X), mul(X, call("sigmoid", X)))
relu2 = _activation("relu2", power(call("relu", X), 2))
relu = _activation("relu", call("relu", X))
tanh = _activation("tanh", call("tanh", X))
sigmoid = _activation("sigmoid", call("sigmoid", X))


def _positive(m: Match) -> None:
    if m["cap"] <= 0:
        raise MatchFailure(f"the cap is {m['cap']}", m.nodes[0], m.nodes)


@rule(mul(call("tanh", div(X, Num("cap"))), Num("cap")), check=_positive)
def softcap(m: Match, out: Emit) -> IRValue:
    """cap · tanh(x / cap), as on Gemma 2's logits."""
    return out.op("nn.softcap", m["x"], cap=float(m["cap"]))


RULES = (gelu_tanh, gelu, quick_gelu, silu, relu2, softcap, relu, tanh, sigmoid)
