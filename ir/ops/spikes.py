"""Spike ops: float to counts, signed additions into membranes, and the one multiply at read-out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import inf
from typing import Any

from ..codes import Code
from ..types import (
    FloatWeight,
    GridWeight,
    Ints,
    Membrane,
    RowWeight,
    Segment,
    Segments,
    Shape,
    Spikes,
    Tensor,
    Type,
    WeightType,
    planes,
)
from .dense import linear_cost, shared_heads
from .table import Args, Work, attr, count, default, op, require, size, word

GRIDS = ("symmetric", "offset", "asymmetric")


def segments_of(code: Code | Segments, width: int) -> Segments:
    """The attribute `code` as segments of channels: one code alone covers all."""
    return (Segment(0, width, code),) if isinstance(code, Code) else code


def grid_tops(attrs: Mapping[str, Any], segments: Segments) -> tuple[int, ...]:
    """Of each segment the largest count on either side of zero that an encoder's grid has.

    That is what `levels` says, one number for all or a list, and 0 stands for what the code carries.
    """
    levels = attrs["levels"]
    each = levels if isinstance(levels, tuple) else (levels,) * len(segments)
    half = attrs["grid"] == "offset"
    return tuple(n or ((s.code.hi + 1) // 2 - 1 if half else s.code.hi) for n, s in zip(each, segments, strict=True))


def _check_segments(segments: Segments, width: int) -> None:
    typed = bool(segments) and all(isinstance(s, Segment) for s in segments)
    covered = (
        typed and segments[0].start == 0 and segments[-1].stop == width and all(s.start < s.stop for s in segments)
    )
    joined = covered and all(a.stop == b.start for a, b in pairwise(segments))
    require(joined, f"segments {', '.join(map(str, segments))} do not cover 0:{width}")


ENCODER = {
    "code": attr(Code, tuple),
    "grid": word(*GRIDS, default="symmetric"),
    "levels": default(0, int, tuple),
    "threshold": word("absmax", "mean", "static", default="absmax"),
    "factor": default(1.0),
    "clip": word("none", "soft", "hard", default="none"),
    "quantile": default(0.0),
    "order": word("threshold_first", "clip_first", default="threshold_first"),
    "overflow": word("saturate", "widen", default="saturate"),
    "price": default(0.0),
}


@op("spike.encode", attrs=ENCODER)
def encode(args: Args) -> tuple[Type, ...]:
    """f32[..., d] -> spikes, scale f32[..., K] and, on offset and asymmetric grids, zero point i32[..., K].

    K is the number of segments; scale V and zero z are found per token and segment, n = clip(round(u/V) + z).
    `levels` is the grid's top N, one for all segments or a list of one each (0: what the code carries; on an offset
    grid its half). A grid that goes beyond its code saturates at what that carries.
    threshold absmax: V = factor·max|x|/N; mean: V = factor·mean|x|; static: V = factor.
    grid symmetric: z = 0; offset: z = N+1, unsigned codes; asymmetric: V = (max-min)/N, z = round(-min/V).
    clip soft: u = sign(x)·relu(|x| - q), hard: u = x where |x| > q, q the `quantile` of |x| of the token and segment
    (SDLLM's membrane clipping, the form a reconstruction); `order` says whether V comes before or after clipping.
    overflow: counts beyond N saturate, or V is widened to max|x|/N for that token so that none is.
    price, on the symmetric grid: n makes (u/V - n)² + price·spikes(n) least, instead of rounding.
    """
    x = args.tensor(0, "f32")
    width = x.shape[-1]
    require(isinstance(width, int), f"{x} has no fixed width")
    segments = segments_of(args.attrs["code"], int(width))
    _check_segments(segments, int(width))
    require(0.0 <= args.attrs["quantile"] < 1.0, "quantile must be 0 or more and below 1")
    plain = args.attrs["price"] == 0.0 and args.attrs["overflow"] == "saturate"
    require(0.0 <= args.attrs["price"] < inf, "price must be 0 or more, and finite")
    require(plain or args.attrs["grid"] == "symmetric", "price and widening need the symmetric grid")
    require(0.0 < args.attrs["factor"] < inf, "factor must be positive and finite")
    levels = args.attrs["levels"]
    whole = all(type(n) is int and n >= 0 for n in (levels if isinstance(levels, tuple) else (levels,)))
    require(whole, "levels must be 0 or more")
    fits = not isinstance(levels, tuple) or len(levels) == len(segments)
    require(fits, f"levels = {levels}: a list has one for each of the {len(segments)} segments")
    unsigned = args.attrs["grid"] != "symmetric"
    for s in segments:
        require((s.code.lo >= 0) == unsigned, f"{s.code} does not suit the {args.attrs['grid']} grid")
    require(not (unsigned and args.attrs["threshold"] == "mean"), "a mean threshold needs the symmetric grid")
    own = args.attrs["threshold"] == "absmax" and args.attrs["factor"] == 1.0
    require(own or args.attrs["grid"] != "asymmetric", "the asymmetric grid sets its own threshold: leave factor at 1")
    per_token: Shape = (*x.shape[:-1], len(segments))
    results: tuple[Type, ...] = (Spikes(segments, x.shape), Tensor("f32", per_token))
    return (*results, Tensor("i32", per_token)) if unsigned else results


@op("int.encode", attrs={"bits": attr(int), "signed": default(True)})
def int_encode(args: Args) -> tuple[Type, ...]:
    """f32[..., d] -> integers of `bits` bits and scale f32[..., 1]: round(x·N/max|x|) per token, N the largest integer.

    Symmetric where `signed`; otherwise what is negative becomes 0 (probabilities have none).
    """
    x = args.tensor(0, "f32")
    require(2 <= args.attrs["bits"] <= 16, "bits must be 2 to 16")
    return Ints(args.attrs["bits"], args.attrs["signed"], x.shape), Tensor("f32", (*x.shape[:-1], 1))


def _spikes(args: Args, index: int) -> Spikes:
    t = args.operands[index]
    if not isinstance(t, Spikes):
        require(False, f"operand {index} must be spikes, not {t}")
    assert isinstance(t, Spikes)
    return t


def _membrane(args: Args) -> Membrane:
    t = args.operands[0]
    require(isinstance(t, Membrane), f"operand 0 must be a membrane, not {t}")
    assert isinstance(t, Membrane)
    return t


def _summed(weight: WeightType) -> str:
    """The dtype of a membrane that sums this weight."""
    require(isinstance(weight, GridWeight | RowWeight | FloatWeight), f"{weight} is neither on a grid nor float")
    return "f32" if isinstance(weight, FloatWeight) else "i32"


def _check_planes(m: Membrane, weight: WeightType) -> None:
    matrix = len(weight.shape) == 2 and weight.shape[0] == m.shape[-1] and _summed(weight) == m.dtype
    require(matrix and len(planes(m.starts, weight)) == m.planes, f"{weight} is not the weight of {m}")


@op("spike.linear", weights=1, cost=linear_cost)
def linear(args: Args) -> tuple[Type, ...]:
    """M_p = Σ_t w[t]·Σ_{i in plane p} W[:, i]·s[t, i]: signed additions of weight columns, one plane for each
    weight group and segment: spikes[..., in] -> membrane[..., out] (i32 on a grid weight, f32 on a float one).
    """
    n, weight = _spikes(args, 0), args.weights[0]
    require(len(weight.shape) == 2 and n.shape[-1] == weight.shape[1], f"{n} does not fit the weight {weight}")
    made = planes(n.starts, weight)
    return (Membrane(_summed(weight), len(made), (*n.shape[:-1], weight.shape[0]), n.starts),)


@op("spike.center", operands=2, weights=1)
def center(args: Args) -> tuple[Type, ...]:
    """Membrane less z·ΣW of each plane, z i32[..., K] the zero point of the plane's segment."""
    m, z = _membrane(args), args.tensor(1, "i32")
    require(z.shape == (*m.shape[:-1], len(m.starts)), f"zero points {z} do not fit {m}")
    _check_planes(m, args.weights[0])
    return (m,)


@op("spike.sum", operands=(1, 2), weights=1)
def total(args: Args) -> tuple[Type, ...]:
    """N_p, the sum of counts (less the zero point, if given) of each plane: i32[..., planes]."""
    n, weight = _spikes(args, 0), args.weights[0]
    require(len(weight.shape) == 2 and n.shape[-1] == weight.shape[1], f"{n} does not fit the weight {weight}")
    if len(args.operands) == 2:
        z = args.tensor(1, "i32")
        require(z.shape == (*n.shape[:-1], len(n.segments)), f"zero points {z} do not fit {n}")
    return (Tensor("i32", (*n.shape[:-1], len(planes(n.starts, weight)))),)


def read_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    """One multiply for each output and plane."""
    m = args.operands[0]
    assert isinstance(m, Membrane)
    return Work(elementwise=count(m.shape, dims) * m.planes)


@op("spike.read_out", operands=(2, 3), weights=(1, 2), cost=read_cost)
def read_out(args: Args) -> tuple[Type, ...]:
    """y = Σ_p V_p·(d_p·M_p + m_p·N_p) + b: membrane, scale f32[..., K] (and sums i32[..., planes]) -> f32[..., out].

    d and m are the scales and minima of the weight's groups; the sums are given exactly where it has minima.
    The scale is one number for each token and segment, so it cannot vary along the contracted axis.
    """
    m, v, weight = _membrane(args), args.tensor(1, "f32"), args.weights[0]
    require(v.shape[:-1] == m.shape[:-1], f"scale {v} varies along another axis than the tokens of {m}")
    require(v.shape[-1] == len(m.starts), f"scale {v} is not one number for each segment of {m}")
    _check_planes(m, weight)
    minimum = "minima" in weight.forms
    require(minimum == (len(args.operands) == 3), "sums of counts are for weights with minima, and needed there")
    if minimum:
        sums = args.tensor(2, "i32")
        require(sums.shape == (*m.shape[:-1], m.planes), f"sums {sums} do not fit {m}")
    if len(args.weights) == 2:
        require(args.weights[1] == FloatWeight((int(m.shape[-1]),)), f"the bias {args.weights[1]} does not fit {m}")
    return (Tensor("f32", m.shape),)


def matmul_cost(args: Args, results: tuple[Type, ...], dims: Mapping[str, int]) -> Work:
    """Multiply-adds of the dense product."""
    a, b = args.operands[0].shape, args.operands[1].shape
    return Work(macs=count(a, dims) * size(b[2] if args.attrs["transpose"] else b[3], dims))


@op("spike.matmul", operands=2, attrs={"transpose": default(False)}, cost=matmul_cost)
def matmul(args: Args) -> tuple[Type, ...]:
    """Integers times spikes: a ints[B,H,S,K], b spikes[B,Hkv,K,N] ([B,Hkv,N,K] if transpose) -> membrane[B,H,S,N].

    A spike adds or subtracts the integers it meets. H is a multiple of Hkv: heads share keys and values.
    """
    a, b = args.operands[0], _spikes(args, 1)
    require(isinstance(a, Ints) and len(a.shape) == 4 and len(b.shape) == 4, f"{a} and {b} must have four axes")
    require(len(b.segments) == 1 and b.code.lo < 0, f"{b}: one signed code for all channels is needed here")
    inner, outer = (b.shape[3], b.shape[2]) if args.attrs["transpose"] else (b.shape[2], b.shape[3])
    heads = shared_heads(a.shape, b.shape)
    require(heads and a.shape[0] == b.shape[0] and a.shape[3] == inner, f"{a} and {b} do not fit together")
    return (Membrane("i32", 1, (*a.shape[:3], outer)),)


@op("spike.read_matmul", operands=(2, 3))
def read_matmul(args: Args) -> tuple[Type, ...]:
    """y = M·rows (·columns): rows f32[B,H,S,1], columns f32[B,H,1,N], the scales of the two operands.

    A scale that varies along the contracted axis does not fit here, and must be folded into the other operand before
    that becomes integers.
    """
    m = _membrane(args)
    require(len(m.shape) == 4 and m.planes == 1 and m.dtype == "i32", f"{m} is not of spike.matmul")
    rows = args.tensor(1, "f32", 4)
    require(rows.shape == (*m.shape[:3], 1), f"scale {rows} varies along the contracted axis, or is not of {m}")
    if len(args.operands) == 3:
        columns = args.tensor(2, "f32", 4)
        require(
            columns.shape == (*m.shape[:2], 1, m.shape[3]),
            f"scale {columns} varies along the contracted axis, or is not of {m}: fold it into the other operand",
        )
    return (Tensor("f32", m.shape),)
