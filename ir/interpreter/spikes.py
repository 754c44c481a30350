"""Reference kernels of the spike ops, in two domains.

Count domain: integer matrix products of counts. Time domain: the train of each count is unrolled and the membrane is
added to, sign-flipped and doubled, never multiplied. Both give the same integers, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..codes import Code
from ..ops.spikes import grid_tops, segments_of
from ..types import FloatWeight, Ints, Membrane, Plane, Spikes, planes
from .kernel import Call, T, WeightData, kernel

Out = tuple[T, ...]

_TINY = 1e-30
_CELLS = 1 << 16


def exact_matmul(a: T, b: T, tops: T | None = None) -> T:
    """Product of integer-valued tensors, as int32; `tops`, where they are known, are the largest |b| of its last axis.

    Floats carry it where they are exact. What leaves 32 bits wraps around, as it does when a membrane is added to.
    """
    # No partial sum, in whatever order, is larger than the sum of a row's magnitudes times the largest factor of each.
    tops = b.abs().amax(-1, keepdim=True) if tops is None and b.numel() else tops
    bound = float(torch.matmul(a.abs().double(), tops.double()).max()) if tops is not None and a.numel() else 0.0
    dtype = torch.float32 if bound < 2**24 else torch.float64 if bound < 2**53 else torch.int64
    product = torch.matmul(a.to(dtype), b.to(dtype))
    return product.to(torch.int32) if bound < 2**31 else product.to(torch.int64).to(torch.int32)


def quantile(magnitude: T, q: float) -> T:
    """The ⌊q·d⌋-th smallest of the last axis, kept as an axis of one; 0 for the zeroth."""
    rank = int(q * magnitude.shape[-1])
    if rank == 0:
        return torch.zeros_like(magnitude[..., :1])
    return magnitude.kthvalue(rank, dim=-1, keepdim=True).values


def clipped(x: T, form: str, q: float) -> T:
    """Membrane clipping: soft shrinks magnitudes by their quantile, hard silences what lies below it."""
    if form == "none":
        return x
    magnitude = x.abs()
    low = quantile(magnitude, q)
    return torch.sign(x) * torch.relu(magnitude - low) if form == "soft" else torch.where(magnitude > low, x, 0.0)


def _threshold(c: Call, x: T, top: int) -> T:
    factor = float(c.attr("factor"))
    if c.attr("threshold") == "static":
        return torch.full_like(x[..., :1], factor)
    if c.attr("threshold") == "mean":
        return x.abs().mean(-1, keepdim=True) * factor
    return x.abs().amax(-1, keepdim=True) * factor / top


def count_range(grid: str, top: int, code: Code) -> tuple[int, int]:
    """Least and largest count of an encoder. Symmetric grids clamp symmetrically: -N-1 would need one step more."""
    low, high = {"symmetric": (-top, top), "offset": (0, 2 * top + 1), "asymmetric": (0, top)}[grid]
    return max(low, code.lo), min(high, code.hi)


def _encode_segment(c: Call, x: T, code: Code, top: int) -> tuple[T, T, T]:
    grid = c.attr("grid")
    u = clipped(x, c.attr("clip"), c.attr("quantile"))
    measured = u if c.attr("order") == "clip_first" else x
    if grid == "asymmetric":
        bottom = measured.amin(-1, keepdim=True).clamp(max=0.0)
        v = (measured.amax(-1, keepdim=True).clamp(min=0.0) - bottom) / top
        v = torch.where(v > _TINY, v, 1.0)
        z = torch.round(-bottom / v)
    else:
        v = _threshold(c, measured, top)
        if c.attr("overflow") == "widen":
            v = torch.maximum(v, measured.abs().amax(-1, keepdim=True) / top)
        v = torch.where(v > _TINY, v, 1.0)
        z = torch.full_like(v, top + 1 if grid == "offset" else 0)
    if c.attr("price"):
        edges, counts = (torch.from_numpy(part) for part in code.priced(top, c.attr("price")))
        n = counts.index_select(0, bucket(u / v, edges).flatten()).reshape(u.shape)
    else:
        n = torch.clamp(torch.round(u / v) + z, *count_range(grid, top, code))
    return n.to(torch.int32), v, z.to(torch.int32)


def bucket(u: T, edges: T) -> T:
    """torch.bucketize: how many edges lie below each u. By a table of cells as wide as the narrowest gap, which is
    several times faster than its binary search."""
    if len(edges) < 2 or (cells := float((edges[-1] - edges[0]) / (width := edges.diff().min()))) > _CELLS:
        return torch.bucketize(u, edges)
    # A cell starts from the edges safely below it. At most three more can lie below a u in it, whatever rounding did.
    starts = torch.bucketize(edges[0] + width * (torch.arange(int(cells) + 3) - 1.5), edges)
    cell = ((u - edges[0]) / width).clamp(-1.0, int(cells) + 1.0).floor().to(torch.int32).clamp(min=-1) + 1
    i = starts.index_select(0, cell.flatten()).reshape(u.shape)
    above = torch.cat((edges, edges.new_full((3,), torch.inf)))
    for _ in range(3):
        i = i + (u > above.index_select(0, i.flatten()).reshape(u.shape))
    return i


@kernel("spike.encode")
def encode(c: Call) -> Out:
    (x,) = c.operands
    segments = segments_of(c.attr("code"), x.shape[-1])
    tops = grid_tops(c.op.attrs, segments)
    made = [_encode_segment(c, x[..., s.start : s.stop], s.code, top) for s, top in zip(segments, tops, strict=True)]
    n, v, z = (torch.cat(part, dim=-1) for part in zip(*made, strict=True))
    return (n, v, z) if len(c.op.results) == 3 else (n, v)


@kernel("int.encode")
def int_encode(c: Call) -> Out:
    (x,) = c.operands
    of = c.op.results[0].type
    assert isinstance(of, Ints)
    v = x.abs().amax(-1, keepdim=True) / of.top
    v = torch.where(v > _TINY, v, 1.0)
    low = -of.top if of.signed else 0
    return torch.clamp(torch.round(x / v), low, of.top).to(torch.int32), v


def run_train(code: Code, n: T, add: Callable[[T, int], T], zero: T) -> T:
    """Drive a membrane by the train of counts n: `add(spikes, sign)` sums what the ±1 spikes of one step reach.

    Additions, sign flips and doublings only. In a ramp spikes go into a slope and the slope into the membrane.
    """
    train = torch.from_numpy(code.encode(n.numpy()))
    membrane, slope = zero.clone(), zero.clone()
    for spikes, doublings, ramp in zip(train, code.doublings, code.ramps, strict=True):
        for _ in range(doublings):
            membrane = membrane + membrane
        if doublings:
            slope = zero.clone()
        for level in range(code.level):
            step = add(spikes > level, 1) + add(spikes < -level, -1)
            if ramp:
                slope = slope + step
            else:
                membrane = membrane + step
        if ramp:
            membrane = membrane + slope
    return membrane


def _integers(weight: WeightData) -> T:
    return weight.values if isinstance(weight.type, FloatWeight) else weight.parts["integers"]


def _spikes(c: Call, index: int) -> Spikes:
    of = c.type(index)
    assert isinstance(of, Spikes)
    return of


def _planes(c: Call, index: int = 0) -> tuple[Plane, ...]:
    return planes(_spikes(c, index).starts, c.weights[0].type)


def _column_sum(columns: T, active: T, sign: int) -> T:
    """Sum of the active columns, for each token: columns [out, in], active bool [tokens, in] -> [tokens, out]."""
    total = torch.zeros(active.shape[0], columns.shape[0], dtype=columns.dtype)
    for token in range(active.shape[0]):
        picked = columns[:, active[token].nonzero()[:, 0]].sum(dim=1, dtype=columns.dtype)
        total[token] = picked if sign > 0 else -picked
    return total


def _plane_in_time(code: Code, n: T, columns: T) -> T:
    flat = n.reshape(-1, n.shape[-1])
    zero = torch.zeros(flat.shape[0], columns.shape[0], dtype=columns.dtype)
    summed = run_train(code, flat, lambda active, sign: _column_sum(columns, active, sign), zero)
    return summed.reshape(*n.shape[:-1], columns.shape[0])


@kernel("spike.linear")
def linear(c: Call) -> Out:
    (n,) = c.operands
    weight = _integers(c.weights[0])
    on_grid = not isinstance(c.weights[0].type, FloatWeight)
    cells = _planes(c)
    if c.in_time:
        segments = _spikes(c, 0).segments
        columns = weight.to(torch.int32) if on_grid else weight
        made = [
            _plane_in_time(segments[p.segment].code, n[..., p.start : p.stop], columns[:, p.start : p.stop])
            for p in cells
        ]
        return (torch.stack(made, dim=-2),)
    if not on_grid:
        floats = [n[..., p.start : p.stop].float() @ weight[:, p.start : p.stop].T for p in cells]
        return (torch.stack(floats, dim=-2),)
    return (_integer_planes(n, weight, c.weights[0].parts["tops"], cells),)


def _integer_planes(n: T, weight: T, tops: T, cells: Sequence[Plane]) -> T:
    widths = {p.stop - p.start for p in cells}
    if len(widths) > 1:
        cuts = [slice(p.start, p.stop) for p in cells]
        parts = [exact_matmul(n[..., cut], weight[:, cut].T, tops[cut, None]) for cut in cuts]
        return torch.stack(parts, dim=-2)
    (width,) = widths
    tokens = n.reshape(-1, len(cells), width).transpose(0, 1)
    columns = weight.reshape(weight.shape[0], len(cells), width).permute(1, 2, 0)
    product = exact_matmul(tokens, columns, tops.reshape(len(cells), width, 1))
    return product.transpose(0, 1).reshape(*n.shape[:-1], len(cells), weight.shape[0])


def _membrane_planes(c: Call) -> tuple[Plane, ...]:
    of = c.type(0)
    assert isinstance(of, Membrane)
    return planes(of.starts, c.weights[0].type)


@kernel("spike.center")
def center(c: Call) -> Out:
    membrane, zero = c.operands
    integers, cells = _integers(c.weights[0]), _membrane_planes(c)
    sums = torch.stack([integers[:, p.start : p.stop].sum(1) for p in cells]).to(membrane.dtype)
    z = zero[..., [p.segment for p in cells]].to(membrane.dtype)
    return (membrane - z[..., None] * sums,)


@kernel("spike.sum")
def total(c: Call) -> Out:
    n, cells = c.operands[0], _planes(c)
    sums = torch.stack([n[..., p.start : p.stop].sum(-1) for p in cells], dim=-1)
    if len(c.operands) == 2:
        widths = torch.tensor([p.stop - p.start for p in cells])
        sums = sums - c.operands[1][..., [p.segment for p in cells]] * widths
    return (sums.to(torch.int32),)


@kernel("spike.read_out")
def read_out(c: Call) -> Out:
    membrane, v = c.operands[:2]
    weight, cells = c.weights[0], _membrane_planes(c)
    groups = [p.group for p in cells]
    scaled = membrane.to(torch.float32).contiguous()  # sums of floats depend on the layout
    if not isinstance(weight.type, FloatWeight):
        scaled = scaled * weight.parts["scales"].T[groups]
        if "minima" in weight.parts:
            scaled = scaled + weight.parts["minima"].T[groups] * c.operands[2].to(torch.float32)[..., None]
    y = (scaled * v[..., [p.segment for p in cells]][..., None]).sum(-2)
    return (y + c.weights[1].values if len(c.weights) == 2 else y,)


def _shared(a: T, b: T) -> T:
    """b with its heads repeated to match a's."""
    return b.repeat_interleave(a.shape[1] // b.shape[1], 1)


@kernel("spike.matmul")
def matmul(c: Call) -> Out:
    a, n = c.operands[0], _shared(*c.operands)
    if c.attr("transpose"):
        n = n.transpose(2, 3)
    if not c.in_time:
        return (exact_matmul(a, n).unsqueeze(-2),)
    code = _spikes(c, 1).code
    batch, heads, new, _ = a.shape
    made = torch.zeros(batch, heads, new, n.shape[3], dtype=torch.int32)
    for b in range(batch):
        for h in range(heads):
            # One token of the integer operand stands where a weight matrix does: a spike adds or subtracts its column.
            spikes = n[b, h].T.contiguous()
            made[b, h] = _plane_in_time(code, spikes, a[b, h].to(torch.int32)).T
    return (made.unsqueeze(-2),)


@kernel("spike.read_matmul")
def read_matmul(c: Call) -> Out:
    y = c.operands[0].squeeze(-2).to(torch.float32) * c.operands[1]
    return (y * c.operands[2] if len(c.operands) == 3 else y,)
