"""Short names for the calls that patterns are made of."""

from __future__ import annotations

from ..pattern import Apply, Const, ListOf, OneOf, Pattern


def call(name: str, *args: Pattern) -> Apply:
    """A call of `aten.<name>`; without an overload, `.default`."""
    return Apply((_full(name),), args)


def _full(name: str) -> str:
    return f"aten.{name}" if "." in name else f"aten.{name}.default"


def mul(a: Pattern, b: Pattern) -> Apply:
    """a · b, either way round."""
    return Apply(("aten.mul.Tensor", "aten.mul.Scalar"), (a, b), commutes=True)


def add(a: Pattern, b: Pattern) -> Apply:
    """a + b, either way round."""
    return Apply(("aten.add.Tensor", "aten.add.Scalar"), (a, b), commutes=True)


def sub(a: Pattern, b: Pattern) -> Apply:
    """a - b."""
    return Apply(("aten.sub.Tensor", "aten.sub.Scalar"), (a, b))


def div(a: Pattern, b: Pattern) -> Apply:
    """a / b."""
    return Apply(("aten.div.Tensor", "aten.div.Scalar"), (a, b))


def power(x: Pattern, exponent: int) -> Pattern:
    """x to a whole power, also spelled as a product where it is a square."""
    spelled = call("pow.Tensor_Scalar", x, Const(exponent))
    return OneOf((spelled, mul(x, x), call("square", x))) if exponent == 2 else spelled


def mean(x: Pattern) -> Apply:
    """The mean over the last axis, which stays."""
    return call("mean.dim", x, ListOf((Const(-1),)), Const(True))


def cat(*parts: Pattern) -> Apply:
    """Parts joined along the last axis."""
    return call("cat", ListOf(parts), Const(-1))


def cast(x: Pattern) -> Apply:
    """x in another dtype."""
    return Apply(("aten._to_copy.default", "aten.to.dtype", "aten.to.dtype_layout", "aten.to.device"), (x,), loose=True)


def either(*choices: Pattern) -> OneOf:
    """The first that matches."""
    return OneOf(choices)
