"""The op table: one entry an op, which drives verifier, parser, builder, costs and the docs page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import IRError
from ..types import Dim, Shape, Tensor, Type, WeightType


@dataclass(frozen=True, slots=True)
class Args:
    """What a type rule sees: types of operands, weights and state, and the attributes (defaults filled in)."""

    operands: tuple[Type, ...]
    weights: tuple[WeightType, ...]
    attrs: Mapping[str, Any]
    state: Type | None = None

    def tensor(self, index: int, dtype: str | None = None, rank: int | None = None) -> Tensor:
        """Operand `index` as a tensor of that dtype and rank; raises IRError if it is not one."""
        t = self.operands[index]
        if not isinstance(t, Tensor) or (dtype is not None and t.dtype != dtype):
            raise IRError(f"operand {index} must be a {dtype or ''} tensor, not {t}")
        if rank is not None and len(t.shape) != rank:
            raise IRError(f"operand {index} must have {rank} axes, not {t}")
        return t


@dataclass(frozen=True, slots=True)
class Attr:
    """An attribute: the Python types it may have, its default (none: required) and the words it may be."""

    types: tuple[type, ...]
    default: Any = None
    required: bool = True
    words: tuple[str, ...] = ()


def attr(*types: type) -> Attr:
    """A required attribute of one of these types."""
    return Attr(types)


def default(value: Any, *types: type) -> Attr:
    """An optional attribute."""
    return Attr(types or (type(value),), value, required=False)


def word(*words: str, default: str | None = None) -> Attr:
    """An attribute that is one of these words."""
    return Attr((str,), default, default is None, words)


@dataclass(frozen=True, slots=True)
class Work:
    """What one call costs: multiply-adds of dense arithmetic, and the linear ones among them that spikes replace."""

    macs: int = 0
    elementwise: int = 0


Infer = Callable[[Args], tuple[Type, ...]]
Cost = Callable[[Args, tuple[Type, ...], Mapping[str, int]], Work]


@dataclass(frozen=True, slots=True)
class OpDef:
    """One op: name, version, arities, attributes, type rule, cost rule and documentation."""

    name: str
    infer: Infer
    operands: tuple[int, int]
    weights: tuple[int, int]
    attrs: Mapping[str, Attr]
    state: bool
    version: int
    cost: Cost
    doc: str = field(default="")


OPS: dict[str, OpDef] = {}


def _span(n: int | tuple[int, int]) -> tuple[int, int]:
    return n if isinstance(n, tuple) else (n, n)


def count(shape: Shape, dims: Mapping[str, int]) -> int:
    """Elements of a shape once its symbols are numbers; `P+S` is the sum."""
    total = 1
    for d in shape:
        total *= size(d, dims)
    return total


def size(dim: Dim, dims: Mapping[str, int]) -> int:
    """One dimension as a number."""
    return dim if isinstance(dim, int) else sum(dims[part] for part in dim.split("+"))


def elementwise(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    """The usual cost: one elementwise operation for each element of the first result."""
    return Work(elementwise=count(results[0].shape, dims))


def free(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    """No arithmetic: data is moved or named."""
    return Work()


def op(
    name: str,
    *,
    operands: int | tuple[int, int] = 1,
    weights: int | tuple[int, int] = 0,
    attrs: Mapping[str, Attr] | None = None,
    state: bool = False,
    version: int = 1,
    cost: Cost = elementwise,
) -> Callable[[Infer], Infer]:
    """Enter an op in the table; the decorated function is its type rule and its docstring the docs' text."""

    def enter(infer: Infer) -> Infer:
        assert name not in OPS, name
        OPS[name] = OpDef(
            name,
            infer,
            _span(operands),
            _span(weights),
            dict(attrs or {}),
            state,
            version,
            cost,
            infer.__doc__ or "",
        )
        return infer

    return enter


def lookup(name: str) -> OpDef:
    """The entry of that name; raises IRError, with the nearest names, if there is none."""
    if name not in OPS:
        import difflib

        near = ", ".join(difflib.get_close_matches(name, OPS, 3)) or "see docs/ops.md"
        raise IRError(f"there is no op '{name}' (nearest: {near})")
    return OPS[name]


def complete_attrs(definition: OpDef, given: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes in table order, defaults filled in; raises IRError on unknown, missing or ill-typed ones."""
    unknown = [k for k in given if k not in definition.attrs]
    if unknown:
        raise IRError(f"has no attribute '{unknown[0]}' (it has: {', '.join(definition.attrs) or 'none'})")
    full: dict[str, Any] = {}
    for key, spec in definition.attrs.items():
        if key not in given:
            if spec.required:
                raise IRError(f"attribute '{key}' is missing")
            full[key] = spec.default
            continue
        value = given[key]
        if float in spec.types and type(value) is int:
            value = float(value)
        if (type(value) is bool and bool not in spec.types) or not isinstance(value, spec.types):
            raise IRError(f"attribute '{key}' = {value!r} must be {' or '.join(t.__name__ for t in spec.types)}")
        if spec.words and value not in spec.words:
            raise IRError(f"attribute '{key}' = {value} must be one of {', '.join(spec.words)}")
        full[key] = value
    return full


def infer_types(name: str, args: Args) -> tuple[Type, ...]:
    """Result types of an op, or IRError saying which arity or rule it breaks."""
    definition = lookup(name)
    for what, given, (low, high) in (
        ("operand", len(args.operands), definition.operands),
        ("weight", len(args.weights), definition.weights),
    ):
        if not low <= given <= high:
            wanted = str(low) if low == high else f"{low} to {high}"
            raise IRError(f"takes {wanted} {what}s, not {given}")
    if definition.state != (args.state is not None):
        raise IRError("needs a state" if definition.state else "takes no state")
    full = complete_attrs(definition, args.attrs)
    return definition.infer(Args(args.operands, args.weights, full, args.state))


def require(ok: bool, message: str) -> None:
    """Raise IRError with this message unless ok."""
    if not ok:
        raise IRError(message)


def broadcast(a: Shape, b: Shape) -> Shape:
    """Numpy's broadcasting over symbolic shapes; raises IRError where axes differ."""
    rank = max(len(a), len(b))
    left: Shape = (1,) * (rank - len(a)) + a
    right: Shape = (1,) * (rank - len(b)) + b
    out: list[Dim] = []
    for x, y in zip(left, right, strict=True):
        require(x == y or 1 in (x, y), f"shapes {list(a)} and {list(b)} do not broadcast")
        out.append(y if x == 1 else x)
    return tuple(out)
