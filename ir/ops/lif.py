"""Stateful neurons and binary attention (BiSpikCLM): here the time domain is the definition.

Membrane state lives over the T steps of one token, never across tokens. All arithmetic is in fixed point, so every
backend gives the same spikes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..types import Current, FixedWeight, Tensor, Train, Type
from .dense import permuted, reshaped, shared_heads, with_shape
from .table import Args, Work, attr, count, default, free, op, require, size


def _train(args: Args, index: int) -> Train:
    t = args.operands[index]
    require(isinstance(t, Train), f"operand {index} must be a train, not {t}")
    assert isinstance(t, Train)
    return t


@op("lif.current", attrs={"T": attr(int), "frac": attr(int)})
def current(args: Args) -> tuple[Type, ...]:
    """f32[...] held constant over T steps, rounded to fixed point: where a float residual enters the neurons.

    `frac` is the number of fractional bits.
    """
    require(args.attrs["T"] >= 1 and 0 <= args.attrs["frac"] <= 24, "T must be at least 1 and frac 0 to 24")
    return (Current(args.attrs["T"], args.attrs["frac"], args.tensor(0, "f32").shape),)


@op("lif.fire", attrs={"beta": attr(int), "threshold": attr(int)})
def fire(args: Args) -> tuple[Type, ...]:
    """U_t = I_t + (beta·U_{t-1} >> 8) - S_{t-1}·threshold ; S_t = U_t >= threshold: current<T> -> train<T>.

    beta counts 256ths, threshold is in the current's fixed point; U starts at 0. BiSpikCLM's LIF (§ methods: stated).
    """
    c = args.operands[0]
    require(isinstance(c, Current), f"operand 0 must be a current, not {c}")
    assert isinstance(c, Current)
    require(0 <= args.attrs["beta"] <= 256 and args.attrs["threshold"] > 0, "beta is 0 to 256, threshold positive")
    return (Train(c.steps, c.shape),)


def _linear_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    out, width = args.weights[0].shape
    return Work(macs=count(args.operands[0].shape[:-1], dims) * out * width)


@op("lif.linear", weights=(1, 2), cost=_linear_cost)
def linear(args: Args) -> tuple[Type, ...]:
    """Each spike adds its weight column: train<T>[..., in] with W fixed [out, in] (and b fixed [out]) -> current<T>."""
    t, weight = _train(args, 0), args.weights[0]
    require(
        isinstance(weight, FixedWeight) and len(weight.shape) == 2 and t.shape[-1] == weight.shape[1],
        f"{t} does not fit the weight {weight}",
    )
    assert isinstance(weight, FixedWeight)
    if len(args.weights) == 2:
        b = args.weights[1]
        require(b == FixedWeight(weight.frac, (weight.shape[0],)), f"the bias {b} does not fit {weight}")
    return (Current(t.steps, weight.frac, (*t.shape[:-1], weight.shape[0])),)


def _coincide_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    return Work(macs=count(args.operands[0].shape, dims) * size(args.operands[1].shape[2], dims))


def _gather_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    return Work(macs=count(args.operands[0].shape, dims) * size(args.operands[1].shape[3], dims))


def _heads(a: Train, b: Train) -> bool:
    if not (a.steps == b.steps and len(a.shape) == len(b.shape) == 4 and a.shape[0] == b.shape[0]):
        return False
    return shared_heads(a.shape, b.shape)


_SPANS = {"near": default((), tuple), "far": default((), tuple)}


@op("lif.coincide", operands=3, attrs={"causal": default(True), **_SPANS}, cost=_coincide_cost)
def coincide(args: Args) -> tuple[Type, ...]:
    """A_int = (Q·Kᵀ) ∘ M: trains q [B,H,S,D], k [B,Hkv,P+S,D], mask i64[B,P+S] -> current<T, frac=0>[B,H,S,P+S].

    M is 0 where the mask hides a key and, if `causal`, where the key stands after the query. With `near` and `far`, one
    number a head each, head h sees only keys that stand near[h] to far[h] tokens before the query.
    """
    q, k = _train(args, 0), _train(args, 1)
    mask = args.tensor(2, "i64", 2)
    fits = _heads(q, k) and q.shape[3] == k.shape[3]
    require(fits and mask.shape == (k.shape[0], k.shape[2]), f"q {q}, k {k} and mask {mask} do not fit together")
    near, far = args.attrs["near"], args.attrs["far"]
    spans = list(zip(near, far, strict=False))
    require(len(near) == len(far) and len(near) in (0, q.shape[1]), f"near, far: give one number for each head of {q}")
    require(all(isinstance(a, int) and isinstance(b, int) and 0 <= a <= b for a, b in spans), "needs 0 <= near <= far")
    return (Current(q.steps, 0, (*q.shape[:3], k.shape[2])),)


@op("lif.gather", operands=2, cost=_gather_cost)
def gather(args: Args) -> tuple[Type, ...]:
    """A·V of binary A [B,H,S,K] and V [B,Hkv,K,D]: integer sums, current<T, frac=0>[B,H,S,D]."""
    a, v = _train(args, 0), _train(args, 1)
    require(_heads(a, v) and a.shape[3] == v.shape[2], f"a {a} and v {v} do not fit together")
    return (Current(a.steps, 0, (*a.shape[:3], v.shape[3])),)


@op("lif.both", operands=2)
def both(args: Args) -> tuple[Type, ...]:
    """The spikes that two trains have in common (AND), as a gate lets them through: train<T>[...] twice -> train<T>."""
    a, b = _train(args, 0), _train(args, 1)
    require(a == b, f"{a} and {b} are not of one type")
    return (a,)


@op("lif.reshape", attrs={"shape": attr(tuple), "axes": default((), tuple)}, cost=free)
def reshape(args: Args) -> tuple[Type, ...]:
    """A train or current in another shape, its axes then permuted (time stays first)."""
    t, shape, axes = args.operands[0], args.attrs["shape"], args.attrs["axes"]
    require(isinstance(t, Train | Current), f"operand 0 must be a train or a current, not {t}")
    plain = reshaped(t.shape, shape)
    return (with_shape(t, permuted(plain, axes) if axes else plain),)


@op("lif.mean", attrs={})
def mean(args: Args) -> tuple[Type, ...]:
    """Average over time, as float: a train's rate, or a current's mean in its units: -> f32[...]."""
    t = args.operands[0]
    require(isinstance(t, Train | Current), f"operand 0 must be a train or a current, not {t}")
    return (Tensor("f32", t.shape),)
