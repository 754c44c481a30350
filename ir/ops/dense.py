"""Ops of the dense model: what stays float. Arithmetic is float32; last axis means channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..types import ALL, SYMBOLS, Dim, FloatWeight, GridWeight, Membrane, RowWeight, Shape, Tensor, Type, WeightType
from .table import Args, Work, attr, broadcast, count, default, elementwise, free, op, require, size, word

ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu", "relu2", "tanh", "sigmoid", "quick_gelu")


def _vector(weight: WeightType, width: Dim, what: str) -> None:
    require(isinstance(weight, FloatWeight) and weight.shape == (width,), f"{what} must be f32[{width}], not {weight}")


def _axis(t: Tensor, axis: int) -> int:
    require(-len(t.shape) <= axis < len(t.shape), f"axis {axis} is outside {t}")
    return axis % len(t.shape)


@op("nn.embed", weights=1, attrs={"offset": default(0)}, cost=free)
def embed(args: Args) -> tuple[Type, ...]:
    """Rows `ids + offset` of a table [rows, d]: i64[...] -> f32[..., d]."""
    ids = args.tensor(0, "i64")
    require(len(args.weights[0].shape) == 2, f"the table must have two axes, not {args.weights[0]}")
    return (Tensor("f32", (*ids.shape, args.weights[0].shape[1])),)


def linear_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    """Multiply-adds of a matrix [out, in] on every token."""
    rows = count(args.operands[0].shape[:-1], dims)
    out, width = args.weights[0].shape
    return Work(macs=rows * out * width)


@op("nn.linear", weights=(1, 2), cost=linear_cost)
def linear(args: Args) -> tuple[Type, ...]:
    """y = x·Wᵀ (+ b): f32[..., in] with W [out, in] -> f32[..., out]. A grid weight is read as its float values."""
    x = args.tensor(0, "f32")
    weight = args.weights[0]
    require(
        isinstance(weight, FloatWeight | GridWeight | RowWeight) and len(weight.shape) == 2, f"{weight} is no matrix"
    )
    require(x.shape[-1] == weight.shape[1], f"input {x} does not fit the weight {weight}")
    if len(args.weights) == 2:
        _vector(args.weights[1], weight.shape[0], "the bias")
    return (Tensor("f32", (*x.shape[:-1], weight.shape[0])),)


@op("nn.rms_norm", weights=(0, 1), attrs={"eps": attr(float), "gain_offset": default(0.0)})
def rms_norm(args: Args) -> tuple[Type, ...]:
    """x / √(mean x² + eps) · (gain_offset + g), over the last axis; without a weight the gain is 1."""
    x = args.tensor(0, "f32")
    if args.weights:
        _vector(args.weights[0], x.shape[-1], "the gain")
    return (x,)


@op("nn.layer_norm", weights=(0, 2), attrs={"eps": attr(float)})
def layer_norm(args: Args) -> tuple[Type, ...]:
    """(x - mean) / √(var + eps) · g + b, over the last axis; g, or g and b, may be left out.

    The gain may have two axes [H, D] where x is f32[B,H,S,D]: a norm of its own for each head.
    """
    x = args.tensor(0, "f32")
    for weight in args.weights:
        heads = len(weight.shape) == 2 and len(x.shape) == 4 and weight.shape == (x.shape[1], x.shape[3])
        if not heads:
            _vector(weight, x.shape[-1], "gain and bias")
    return (x,)


@op("nn.add", operands=2)
def add(args: Args) -> tuple[Type, ...]:
    """Sum, with broadcasting."""
    return (Tensor("f32", broadcast(args.tensor(0, "f32").shape, args.tensor(1, "f32").shape)),)


@op("nn.mul", operands=2)
def mul(args: Args) -> tuple[Type, ...]:
    """Product, with broadcasting."""
    return (Tensor("f32", broadcast(args.tensor(0, "f32").shape, args.tensor(1, "f32").shape)),)


@op("nn.scale", attrs={"by": attr(float)})
def scale(args: Args) -> tuple[Type, ...]:
    """x times the constant `by`."""
    return (args.tensor(0, "f32"),)


@op("nn.bias", weights=1)
def bias(args: Args) -> tuple[Type, ...]:
    """x plus a weight vector on the last axis."""
    x = args.tensor(0, "f32")
    _vector(args.weights[0], x.shape[-1], "the bias")
    return (x,)


@op("nn.activation", attrs={"kind": word(*ACTIVATIONS)})
def activation(args: Args) -> tuple[Type, ...]:
    """A function of each element: silu, gelu (erf), gelu_tanh, relu, relu2 (squared), tanh, sigmoid, quick_gelu."""
    return (args.tensor(0, "f32"),)


@op("nn.softcap", attrs={"cap": attr(float)})
def softcap(args: Args) -> tuple[Type, ...]:
    """cap · tanh(x / cap)."""
    require(args.attrs["cap"] > 0, "cap must be positive")
    return (args.tensor(0, "f32"),)


@op(
    "nn.rope",
    operands=2,
    weights=1,
    attrs={"layout": word("half", "interleaved", default="half"), "scaling": default(1.0)},
)
def rope(args: Args) -> tuple[Type, ...]:
    """Rotary positions: pairs of channels turned by position · inv_freq, cos and sin times `scaling`.

    x f32[B,H,S,D] and positions i64[B,S] with inv_freq f32[D/2]. Channel i pairs with i + D/2 (half) or 2i with
    2i + 1 (interleaved).
    """
    x, positions = args.tensor(0, "f32", 4), args.tensor(1, "i64", 2)
    require((x.shape[0], x.shape[2]) == positions.shape, f"positions {positions} do not fit {x}")
    width = args.weights[0].shape
    require(len(width) == 1 and x.shape[3] == 2 * width[0], f"inv_freq {args.weights[0]} does not fit {x}")
    return (x,)


@op("nn.reshape", attrs={"shape": attr(tuple)}, cost=free)
def reshape(args: Args) -> tuple[Type, ...]:
    """The same elements in another shape; symbols stay whole axes."""
    x, shape = args.tensor(0), args.attrs["shape"]
    return (Tensor(x.dtype, reshaped(x.shape, shape)),)


def reshaped(have: Shape, want: tuple[Any, ...]) -> Shape:
    """The wanted shape; raises IRError unless the sizes between its symbols are those between the old one's."""
    dims = all(d in SYMBOLS if isinstance(d, str) else type(d) is int and d >= 1 for d in want)
    require(bool(want) and dims and _runs(have) == _runs(want), f"{list(have)} cannot be reshaped to {list(want)}")
    return want


def _runs(dims: Shape) -> list[Dim]:
    runs: list[Dim] = [1]
    for d in dims:
        if isinstance(d, str):
            runs += [d, 1]
        else:
            runs[-1] = int(runs[-1]) * d
    return runs


@op("nn.permute", attrs={"axes": attr(tuple)}, cost=free)
def permute(args: Args) -> tuple[Type, ...]:
    """Axes in another order."""
    x, axes = args.tensor(0), args.attrs["axes"]
    return (Tensor(x.dtype, permuted(x.shape, axes)),)


def permuted(shape: Shape, axes: tuple[Any, ...]) -> Shape:
    """The shape with its axes in that order; raises IRError if they are no permutation."""
    ok = all(type(a) is int for a in axes) and sorted(axes) == list(range(len(shape)))
    require(ok, f"axes {list(axes)} are no permutation of those of {list(shape)}")
    return tuple(shape[a] for a in axes)


@op("nn.slice", attrs={"axis": attr(int), "start": attr(int), "stop": attr(int)}, cost=free)
def slice_(args: Args) -> tuple[Type, ...]:
    """Elements start to stop along one axis, which need not be of known size if start is 0 and stop is 1."""
    x = args.tensor(0)
    axis, start, stop = _axis(x, args.attrs["axis"]), args.attrs["start"], args.attrs["stop"]
    have = x.shape[axis]
    first = isinstance(have, str) and (start, stop) == (0, 1)
    require(
        first or (isinstance(have, int) and 0 <= start < stop <= have),
        f"{start}:{stop} is outside axis {axis} of {x}",
    )
    return (Tensor(x.dtype, (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])),)


@op("nn.concat", operands=(2, 16), attrs={"axis": attr(int)}, cost=free)
def concat(args: Args) -> tuple[Type, ...]:
    """Operands one after the other along one axis."""
    parts = [args.tensor(i) for i in range(len(args.operands))]
    axis = _axis(parts[0], args.attrs["axis"])
    total = 0
    for p in parts:
        same = p.dtype == parts[0].dtype and len(p.shape) == len(parts[0].shape)
        same = same and p.shape[:axis] + p.shape[axis + 1 :] == parts[0].shape[:axis] + parts[0].shape[axis + 1 :]
        require(same and isinstance(p.shape[axis], int), f"{p} does not join {parts[0]} along axis {axis}")
        total += int(p.shape[axis])
    return (Tensor(parts[0].dtype, (*parts[0].shape[:axis], total, *parts[0].shape[axis + 1 :])),)


@op("nn.repeat", attrs={"axis": attr(int), "times": attr(int)}, cost=free)
def repeat(args: Args) -> tuple[Type, ...]:
    """Each element along an axis `times` times in a row: how grouped heads share a key or value."""
    x = args.tensor(0)
    axis = _axis(x, args.attrs["axis"])
    have = x.shape[axis]
    require(isinstance(have, int) and args.attrs["times"] >= 1, f"axis {axis} of {x} cannot be repeated")
    return (Tensor(x.dtype, (*x.shape[:axis], int(have) * args.attrs["times"], *x.shape[axis + 1 :])),)


def front_order(channels: tuple[int, ...], width: int, back: bool = False) -> list[int]:
    """Where each channel of nn.set_apart's result comes from."""
    apart = set(channels)
    order = [*channels, *(c for c in range(width) if c not in apart)]
    return sorted(range(width), key=order.__getitem__) if back else order


@op("nn.set_apart", attrs={"channels": attr(tuple), "back": default(False)}, cost=free)
def set_apart(args: Args) -> tuple[Type, ...]:
    """The listed channels moved to the front of the last axis, in that order; the others follow in their own.

    With `back` from the front to their places: the inverse. What is set apart may be encoded with a code of its own,
    as a segment (salient channels, which get more steps).
    """
    x, channels = args.tensor(0, "f32"), args.attrs["channels"]
    width = x.shape[-1]
    whole = all(type(c) is int for c in channels) and isinstance(width, int)
    require(
        whole and bool(channels) and len(set(channels)) == len(channels) and all(0 <= c < int(width) for c in channels),
        f"channels {list(channels)} are not some of those of {x}, each once",
    )
    return (x,)


def rotate_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    """Butterfly additions of the Hadamard part and products with the small factor."""
    x = args.operands[0].shape
    size = args.attrs["hadamard"]
    small = args.weights[0].shape[0] if args.weights else 0
    each = int(size).bit_length() - 1 + small
    return Work(elementwise=count(x, dims) * each)


@op("nn.rotate", weights=(0, 1), attrs={"hadamard": attr(int)}, cost=rotate_cost)
def rotate(args: Args) -> tuple[Type, ...]:
    """x · (F ⊗ H/√h) over the last axis: a normalised Hadamard matrix of size h and a small orthogonal F [f, f].

    The width must be h·f; without a weight f is 1.
    """
    x, h = args.tensor(0, "f32"), args.attrs["hadamard"]
    f = args.weights[0].shape[0] if args.weights else 1
    require(h >= 1 and h & (h - 1) == 0, f"hadamard = {h} is no power of two")
    require(not args.weights or args.weights[0].shape == (f, f), f"{args.weights} is not square")
    require(x.shape[-1] == h * f, f"{x} has no last axis of {h}·{f}")
    return (x,)


@op("state.append", attrs={"axis": attr(int)}, state=True, cost=free)
def append(args: Args) -> tuple[Type, ...]:
    """Add S new entries to a state along `axis` and give all P+S of them; the state keeps them for the next call."""
    x, state, axis = args.operands[0], args.state, args.attrs["axis"]
    assert state is not None
    kept = not isinstance(x, Membrane) and type(x) is type(state)
    require(kept, f"{x} does not go into a state of {state}")
    require(0 <= axis < len(x.shape) and x.shape[axis] == "S", f"axis {axis} of {x} is not S")
    past = (*x.shape[:axis], "P", *x.shape[axis + 1 :])
    require(with_shape(x, past) == state, f"the state is {state}, the operand {x}")
    return (with_shape(x, (*x.shape[:axis], ALL, *x.shape[axis + 1 :])),)


def with_shape(t: Type, shape: Shape) -> Type:
    """The same type in another shape."""
    return replace(t, shape=shape)


def shared_heads(a: Shape, b: Shape) -> bool:
    """Whether the heads (axis 1) of a are a multiple of those of b."""
    return isinstance(a[1], int) and isinstance(b[1], int) and b[1] > 0 and a[1] % b[1] == 0


MASKING = {
    "causal": default(True),
    "window": default(0),
    "softcap": default(0.0),
    "alibi": default(False),
}


def attend_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    """Multiply-adds of QKᵀ and A·V, not halved for the causal mask."""
    q, k = args.operands[0].shape, args.operands[1].shape
    return Work(macs=2 * count(q, dims) * size(k[2], dims))


@op("nn.attend", operands=4, attrs={"scale": attr(float), **MASKING}, cost=attend_cost)
def attend(args: Args) -> tuple[Type, ...]:
    """softmax(scale·q·kᵀ)·v: q f32[B,H,S,D], k and v f32[B,Hkv,P+S,D], mask i64[B,P+S] -> f32[B,H,S,D].

    Query i stands at absolute index P + i; `causal` hides the keys after it, `window` w those with index <= query - w;
    `softcap` bounds the scores; `alibi` adds slope_h · (cumsum(mask) - 1) of the key (BLOOM); mask 0 hides a key.
    H is a multiple of Hkv.
    """
    q, k, v, mask = (args.tensor(i, "i64" if i == 3 else "f32", 2 if i == 3 else 4) for i in range(4))
    fits = k.shape[3] == q.shape[3] and k.shape[:3] == v.shape[:3] and k.shape[0] == q.shape[0]
    require(fits and shared_heads(q.shape, k.shape), f"q {q}, k {k} and v {v} do not fit together")
    require(mask.shape == (k.shape[0], k.shape[2]), f"mask {mask} does not fit the keys {k}")
    return (Tensor("f32", (*q.shape[:3], v.shape[3])),)


@op("nn.softmax", operands=2, attrs=MASKING)
def softmax(args: Args) -> tuple[Type, ...]:
    """Probabilities of scaled scores f32[B,H,S,P+S] under mask i64[B,P+S].

    `causal`, `window`, `softcap` and `alibi` as in nn.attend.
    """
    scores, mask = args.tensor(0, "f32", 4), args.tensor(1, "i64", 2)
    require(mask.shape == (scores.shape[0], scores.shape[3]), f"mask {mask} does not fit {scores}")
    return (scores,)


__all__ = ["ACTIVATIONS", "elementwise", "linear_cost", "with_shape"]
