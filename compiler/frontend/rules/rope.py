"""Rotary positions: x · cos + turned(x) · sin, with tables made of positions and inverse frequencies."""

from __future__ import annotations

from collections.abc import Callable

from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Any_, Apply, Const, Given, ListOf, Match, MatchFailure, Num, Param, Pattern, Value
from ..rule import rule
from .calls import add, call, cast, cat, either, mul

X, POSITIONS, INV_FREQ = Value("x"), Value("positions"), Param("inv_freq", axes=1)

_angle = mul(cast(call("unsqueeze", POSITIONS, Const(-1))), INV_FREQ)
_twice = cat(_angle, _angle)
_each_twice = call("repeat_interleave.self_int", _angle, Const(2), Const(-1))


def _table(function: str, angle: Pattern) -> Pattern:
    """cos or sin of each angle, with attention_scaling if it is not 1, one table for all heads."""
    values = call(function, angle)
    return call("unsqueeze", either(mul(values, Num("scaling")), Given(values, "scaling", 1.0)), Const(-3))


def _halves(function: str) -> Pattern:
    """A table with each angle i and i + D/2: for channels paired by halves."""
    return _table(function, _twice)


def _neighbours(function: str) -> Pattern:
    """A table with each angle 2i and 2i + 1, made so (Cohere) or of the other (GLM, Helium, ERNIE)."""
    first = call("slice.Tensor", _table(function, _twice), Const(-1), Const(0), Num("middle"))
    return either(_table(function, _each_twice), call("repeat_interleave.self_int", first, Const(2), Const(-1)))


def _rope(table: Callable[[str], Pattern], turned: Pattern) -> Apply:
    return add(mul(X, table("cos")), mul(turned, table("sin")))


_half = cat(
    call("neg", call("slice.Tensor", X, Const(-1), Num("middle"), Any_())),
    call("slice.Tensor", X, Const(-1), Const(0), Num("middle")),
)
_even = call("slice.Tensor", X, Const(-1), Const(0), Any_(), Const(2))
_odd = call("slice.Tensor", X, Const(-1), Const(1), Any_(), Const(2))
_pairs = call("stack", ListOf((call("neg", _odd), _even)), Const(-1))
_joined_pairs = either(call("view", _pairs, Any_()), call("flatten.using_ints", _pairs, Any_(), Any_()))


def _check(m: Match) -> None:
    width, have = m["x"].meta["val"].shape[-1], m["inv_freq"].meta["val"].shape[0]
    if width != 2 * have:
        raise MatchFailure(f"{width} channels are turned by {have} frequencies", m.nodes[0], m.nodes)
    if m.bound.get("middle", have) != have:
        raise MatchFailure(f"the halves meet at {m['middle']}, not {have}", m.nodes[0], m.nodes)


def _emit(m: Match, out: Emit, layout: str) -> IRValue:
    weights = [out.weight(m["inv_freq"])]
    return out.op("nn.rope", m["x"], m["positions"], weights=weights, layout=layout, scaling=float(m["scaling"]))


@rule(_rope(_halves, _half), check=_check)
def rope_half(m: Match, out: Emit) -> IRValue:
    """Channel i is paired with i + D/2 (Llama and most others)."""
    return _emit(m, out, "half")


@rule(_rope(_neighbours, _joined_pairs), check=_check)
def rope_interleaved(m: Match, out: Emit) -> IRValue:
    """Channel 2i is paired with 2i + 1 (Cohere, GLM)."""
    return _emit(m, out, "interleaved")


RULES = (rope_half, rope_interleaved)
