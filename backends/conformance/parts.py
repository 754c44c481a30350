"""Parts of a probe: one op, or a few that belong together, on inputs made from ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...ir import (
    CSD,
    GIF,
    Binary,
    Bits,
    Code,
    DigitRamp,
    FixedWeight,
    FloatWeight,
    GridWeight,
    Ramp,
    RowWeight,
    Segment,
    SignedBits,
    Ternary,
    Value,
    WeightType,
)
from ...ir.types import Segments
from .probe import Probe

Part = Callable[[Probe], object]

SIGNED: tuple[Code, ...] = (
    Ternary(7), Ternary(60), CSD(7), SignedBits(6), Ramp(4, 2), Ramp(16, 2), DigitRamp(3, 2, 5), DigitRamp(6, 4, 10),
    GIF(4, 3, True),
)  # fmt: skip
UNSIGNED: tuple[Code, ...] = (Binary(15), Bits(4), Bits(8), GIF(16, 1), GIF(16, 3))
WIDTH, OUT = 22, 19
WEIGHTS: dict[str, WeightType] = {
    "per channel": GridWeight(8, WIDTH, False, (OUT, WIDTH)),
    "grouped": GridWeight(4, 8, False, (OUT, WIDTH)),
    "with minima": GridWeight(4, 8, True, (OUT, WIDTH)),
    "spikes themselves": GridWeight(3, 8, True, (OUT, WIDTH), (Segment(0, 8, GIF(4, 2)), Segment(8, WIDTH, GIF(4, 1)))),
    "rows on one scale": RowWeight(4, 8, (OUT, WIDTH)),
}


def whole(code: Code, width: int = WIDTH) -> Segments:
    """All channels in one code."""
    return (Segment(0, width, code),)


def linear(segments: Segments, of: WeightType, bias: bool = False) -> Part:
    """Exact counts through a spiked linear layer."""

    def part(p: Probe) -> None:
        n, one, *zero = p.counts(segments)
        name = p.parameter(of)
        m = p.do("spike.linear", n, weights=[name])
        m = p.do("spike.center", m, *zero, weights=[name]) if zero else m
        sums = [p.do("spike.sum", n, *zero, weights=[name])] if "minima" in of.forms else []
        more = [p.parameter(FloatWeight((of.shape[0],)))] if bias else []
        p.close(p.do("spike.read_out", m, one, *sums, weights=[name, *more]))
        p.exact(p.show(n, one, *zero))

    return part


def encoder(segments: Segments, **rule: Any) -> Part:
    """Floats to counts."""

    def part(p: Probe) -> None:
        code: Any = segments[0].code if len(segments) == 1 else segments
        n, v, *zero = p.both("spike.encode", p.floats(segments[-1].stop), code=code, **rule)
        p.ties(p.show(n, p.ones(len(segments)), *zero))
        p.close(v)

    return part


def scores(p: Probe, code: Code = SIGNED[0], bits: int = 8, signed: bool = True, columns: bool = False) -> Value:
    """Integers times spiked keys, [B,6,S,P+S]: three heads share keys."""
    a, rows = p.integers(6, 4, bits, signed)
    n, v = p.spiked_heads(code, factor=0.25 if columns else 1.0)
    m = p.do("spike.matmul", a, p.kept(n), transpose=True)
    if not columns:
        return p.do("spike.read_matmul", m, rows)
    by_head = p.do("nn.repeat", p.do("nn.permute", p.kept(v), axes=(0, 1, 3, 2)), axis=1, times=3)
    return p.do("spike.read_matmul", m, rows, by_head)


def gathered(code: Code) -> Part:
    """Integers made of scores times spiked values."""

    def part(p: Probe) -> None:
        a, _ = p.both("int.encode", scores(p), bits=8)
        n, _ = p.spiked_heads(code, 2, 5)
        _, rows = p.integers(6, 4)
        p.exact(p.do("spike.read_matmul", p.do("spike.matmul", a, p.kept(n)), rows))

    return part


def scored(*args: Any, **rest: Any) -> Part:
    return lambda p: p.exact(scores(p, *args, **rest))


def attended(**way: Any) -> Part:
    def part(p: Probe) -> None:
        q, k, v = p.heads(6), p.kept(p.heads(2)), p.kept(p.heads(2, 5))
        p.close(p.do("nn.attend", q, k, v, p.given("mask"), scale=0.5, **way))

    return part


def softmax(**way: Any) -> Part:
    def part(p: Probe) -> None:
        scaled = p.do("nn.scale", scores(p, SIGNED[0], 4), by=1 / 32)
        p.close(p.do("nn.softmax", scaled, p.given("mask"), **way))

    return part


def plain(name: str, *inputs: Callable[[Probe], Value], weights: Sequence[WeightType] = (), **attrs: Any) -> Part:
    """One op on some inputs, its result compared as a float."""

    def part(p: Probe) -> None:
        values = [make(p) for make in inputs]
        p.close(p.do(name, *values, weights=[p.parameter(w) for w in weights], **attrs))

    return part


def floats(width: int = 6, scale: float = 1.0) -> Callable[[Probe], Value]:
    return lambda p: p.floats(width, scale)


def heads(count: int = 4, width: int = 4) -> Callable[[Probe], Value]:
    return lambda p: p.heads(count, width)


def ids(p: Probe) -> Value:
    return p.ids


def positions(p: Probe) -> Value:
    return p.given("positions")


def kept(axis: int, make: Callable[[Probe], Value]) -> Part:
    return lambda p: p.close(p.kept(make(p), axis))


def fired(p: Probe, heads: int = 0, width: int = 6, beta: int = 230, T: int = 4) -> Value:
    """A train of LIF neurons."""
    x = p.heads(heads, width) if heads else p.floats(width)
    return p.do("lif.fire", p.do("lif.current", x, T=T, frac=8), beta=beta, threshold=179)


def firing(beta: int = 230, T: int = 4) -> Callable[[Probe], Value]:
    return lambda p: fired(p, beta=beta, T=T)


def meant(name: str, make: Callable[[Probe], Value], weights: Sequence[WeightType] = (), **attrs: Any) -> Part:
    """One op that gives a train or a current, seen as its mean over time."""

    def part(p: Probe) -> None:
        made = p.do(name, make(p), weights=[p.parameter(w) for w in weights], **attrs)
        p.exact(p.do("lif.mean", made))

    return part


def timed(p: Probe) -> None:
    """A train, seen through neurons that forget: when its spikes fell matters."""
    m = p.do("lif.linear", fired(p), weights=[p.parameter(FixedWeight(10, (6, 6)))])
    p.exact(p.do("lif.mean", p.do("lif.fire", m, beta=200, threshold=1500)))


def both(p: Probe) -> None:
    p.exact(p.do("lif.mean", p.do("lif.both", fired(p), fired(p))))


def coincide(p: Probe, **how: object) -> Value:
    return p.do("lif.coincide", fired(p, 4, 4), p.kept(fired(p, 2, 4)), p.given("mask"), **how)


def coinciding(**how: object) -> Part:
    return lambda p: p.exact(p.do("lif.mean", coincide(p, **how)))


def gather(p: Probe) -> None:
    a = p.do("lif.fire", coincide(p), beta=0, threshold=1)
    p.exact(p.do("lif.mean", p.do("lif.gather", a, p.kept(fired(p, 2, 5)))))


def code_parts(code: Code) -> list[Part]:
    """A code through linear layers of each kind, encoders, and, where it is signed, through attention."""
    if code.lo >= 0:
        grids = [encoder(whole(code), grid=grid) for grid in ("offset", "asymmetric")]
        return [linear(whole(code), w) for w in WEIGHTS.values()] + grids
    others = [c for c in SIGNED[:5] if c != code]
    mixed = (Segment(0, 13, code), Segment(13, WIDTH, others[0]))
    layers = [linear(segments, w) for segments in (whole(code), mixed) for w in WEIGHTS.values()]
    return [*layers, encoder(whole(code), threshold="mean", factor=0.4), scored(code), gathered(code)]
