"""Norms: RMSNorm (also with a gain of 1 + w, or none) and LayerNorm, whole or spelled out."""

from __future__ import annotations

from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Absent, Any_, Given, Items, Match, MatchFailure, Num, Param, Pattern, Value
from ..rule import rule
from .calls import add, call, either, mean, mul, power, sub

X, G, B, EPS = Value("x"), Param("g"), Param("b"), Num("eps")


def _unit_rms(x: Pattern) -> Pattern:
    return mul(x, call("rsqrt", add(mean(power(x, 2)), EPS)))


def _centred(x: Pattern) -> Pattern:
    """Cohere's LayerNorm: the mean is taken off twice, in the numerator and for the variance."""
    shifted = sub(x, mean(x))
    return mul(shifted, call("rsqrt", add(mean(power(shifted, 2)), EPS)))


GAIN = either(Given(Param("g", axes=1), "offset", 0.0), add(Param("g", axes=1), Num("offset")))


@rule(mul(GAIN, _unit_rms(X)))
def rms_norm(m: Match, out: Emit) -> IRValue:
    """x / rms(x) · g, or · (1 + g) as in Gemma."""
    gain = out.weight(m["g"])
    return out.op("nn.rms_norm", m["x"], weights=[gain], eps=float(m["eps"]), gain_offset=float(m["offset"]))


@rule(_unit_rms(X))
def rms_norm_without_gain(m: Match, out: Emit) -> IRValue:
    """x / rms(x)."""
    return out.op("nn.rms_norm", m["x"], eps=float(m["eps"]))


def _one_axis(m: Match) -> None:
    if len(m["width"]) != 1:
        raise MatchFailure(f"the norm is over {len(m['width'])} axes, not over the last alone", m.nodes[0], m.nodes)


@rule(call("rms_norm", X, Items("width"), G, EPS), check=_one_axis)
def whole_rms_norm(m: Match, out: Emit) -> IRValue:
    """torch's own RMSNorm with an explicit eps."""
    return out.op("nn.rms_norm", m["x"], weights=[out.weight(m["g"])], eps=float(m["eps"]))


@rule(mul(G, _centred(X)))
def spelled_layer_norm(m: Match, out: Emit) -> IRValue:
    """(x - mean) / std · g in float arithmetic; the gain may differ by head."""
    weights = [out.weight(m["g"])]
    if len(m["g"].meta["val"].shape) == 1:
        return out.op("nn.layer_norm", m["x"], weights=weights, eps=float(m["eps"]))
    # A gain [H, D] goes with x [B,S,H,D] here, and with [B,H,S,D] in the IR.
    turned = out.op("nn.permute", m["x"], axes=(0, 2, 1, 3))
    normed = out.op("nn.layer_norm", turned, weights=weights, eps=float(m["eps"]))
    return out.op("nn.permute", normed, axes=(0, 2, 1, 3))


_gain = either(Given(G, "plus", 0.0), Given(Given(Absent(), "g", None), "plus", 0.0), add(G, Num("plus")))
_bias = either(B, Given(Absent(), "b", None))


@rule(call("layer_norm", X, Items("width"), _gain, _bias, EPS, Any_()), check=_one_axis)
def layer_norm(m: Match, out: Emit) -> IRValue:
    """torch's LayerNorm, gain and bias optional, the gain perhaps stored less 1 (Nemotron)."""
    gains = [] if m["g"] is None else [out.weight(m["g"], plus=float(m["plus"]))]
    biases = [] if m["b"] is None else [out.weight(m["b"])]
    if biases and not gains:
        normed = out.op("nn.layer_norm", m["x"], eps=float(m["eps"]))
        return out.op("nn.bias", normed, weights=biases)
    return out.op("nn.layer_norm", m["x"], weights=[*gains, *biases], eps=float(m["eps"]))


RULES = (rms_norm, whole_rms_norm, spelled_layer_norm, layer_norm, rms_norm_without_gain)
