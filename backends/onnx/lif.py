"""Stateful neurons and binary attention: integers, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir import Current, FixedWeight, Train
from .attention import places, seen
from .body import FLOAT, INT8, INT32, Value
from .emitter import Call, Scope
from .integers import digits, digits_needed, product, weight_digits, weighted


def current(c: Call) -> Sequence[Value]:
    """A float in fixed point, held over all steps."""
    b = c.b
    fixed = b.cast(b("Round", b("Mul", c.x(), b.f32(2 ** c.attr("frac")))), INT32)
    shape = b("Concat", b.i64([c.attr("T")]), b("Shape", fixed), axis=0)
    return [b("Expand", fixed, shape)]


def fire(c: Call) -> Sequence[Value]:
    """Leak, add, compare, subtract; the shift by 8 rounds down."""
    b, of, beta, high = c.b, c.operand(0), c.attr("beta"), c.attr("threshold")
    assert isinstance(of, Current)
    potential: Value | None = None
    spikes: Value | None = None
    made = []
    for step in b.steps(c.x(0, "current"), of.steps):
        if potential is None or spikes is None:
            potential = step
        else:
            leaked = b("Mul", potential, b.i32(beta))
            leaked = b("Div", b("Sub", leaked, b("BitwiseAnd", leaked, b.i32(255))), b.i32(256))
            potential = b("Sub", b("Add", step, leaked), b("Mul", spikes, b.i32(high)))
        spikes = b.cast(b("GreaterOrEqual", potential, b.i32(high)), INT32)
        made.append(b("Unsqueeze", b.cast(spikes, INT8), b.i64([0])))
    return [b.join(made, 0)]


def linear(c: Call) -> Sequence[Value]:
    """Weight columns of the spikes of each step."""
    b, store = c.b, c.emitter.store
    w = c.weight()
    assert isinstance(w.type, FixedWeight)
    codes = store.get(w)["codes"]
    count = digits_needed(int(codes.min()), int(codes.max()))

    width, out = w.type.shape[::-1]
    laid = c.form(0, "digits", INT8, (width, count * out), lambda: weight_digits(store.get(w)["codes"].T, count))
    y = weighted(b, digits(b, c.x(0, "train"), 0, 1), laid, count)
    if len(c.op.weights) == 2:
        bias = c.weight(1)
        y = b("Add", y, c.form(1, "bias", INT32, bias.type.shape, lambda: store.get(bias)["codes"].astype("int32")))
    return [y]


def _meet(c: Call, right: Value) -> Value:
    """Products of the trains of operand 0 [T,B,H,S,K] and the other [T,B,Hkv,K,N], step by step."""
    b, (a, other) = c.b, (c.operand(i) for i in (0, 1))
    assert isinstance(a, Train)
    assert isinstance(other, Train)
    heads, shared = int(a.shape[1]), int(other.shape[1])
    left, y = c.x(0, "a"), right
    if heads != shared:
        left = b("Reshape", left, b.i64([0, 0, shared, -1, 0]))
    y = product(b, digits(b, left, 0, 1), digits(b, right, 0, 1))
    return y if heads == shared else b("Reshape", y, b.i64([0, 0, heads, -1, 0]))


def coincide(c: Call) -> Sequence[Value]:
    """How many channels of query and key spike together, where the key is seen."""
    e, mask, causal, near, far = c.emitter, c.op.operands[2], *(c.attr(a) for a in ("causal", "near", "far"))

    def build(s: Scope) -> Value:
        b, given = s.b, s.bring(e.values[mask.name], "mask")
        there = seen(s, given, causal, 0)
        if far:
            keys, queries = places(s, given)
            back = b("Sub", queries, keys)
            first, last = (b("Reshape", b.i64(list(x)), b.i64([-1, 1, 1])) for x in (near, far))
            within = b("And", b("GreaterOrEqual", back, first), b("LessOrEqual", back, last))
            there = b("And", there, within)
        return b.cast(there, INT32)

    axes = ("B", len(far) or 1, "S" if causal or far else 1, mask.type.shape[1])
    shown = c.bring(e.shared(("seen", mask.name, causal, near, far), "SeenKeys", build, INT32, axes), "seen")
    return [c.b("Mul", _meet(c, c.b("Transpose", c.x(1, "k"), perm=[0, 1, 2, 4, 3])), shown)]


def gather(c: Call) -> Sequence[Value]:
    """Sums of the values at which attention spikes."""
    return [_meet(c, c.x(1, "v"))]


def both(c: Call) -> Sequence[Value]:
    """The spikes that two trains have in common."""
    return [c.b("BitwiseAnd", c.x(0, "a"), c.x(1, "b"))]


def mean(c: Call) -> Sequence[Value]:
    """Average over time, as float."""
    b, of = c.b, c.operand(0)
    y = b("ReduceMean", b.cast(c.x(), FLOAT), b.i64([0]), keepdims=0)
    return [b("Div", y, b.f32(2**of.frac if isinstance(of, Current) else 1))]
