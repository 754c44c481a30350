"""Types of values and of weights. Spikes are a type, so that a wrong program does not verify.

A dimension is an integer or a symbol: `B` sequences, `S` new tokens, `P` past tokens, `P+S` all tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from .codes import Code
from .errors import IRError

Dim = int | str
Shape = tuple[Dim, ...]

BATCH: Dim = "B"
NEW: Dim = "S"
PAST: Dim = "P"
ALL: Dim = "P+S"
SYMBOLS = frozenset({BATCH, NEW, PAST, ALL})


def _dims(shape: Shape) -> str:
    return "[" + ",".join(str(d) for d in shape) + "]"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An ordinary array: `f32[B,S,576]`. dtype is f32, i32, i64 or bool."""

    dtype: str
    shape: Shape

    def __str__(self) -> str:
        return self.dtype + _dims(self.shape)


@dataclass(frozen=True, slots=True)
class Segment:
    """Channels `start` to `stop` of the last axis, encoded with one code."""

    start: int
    stop: int
    code: Code

    def __str__(self) -> str:
        return f"{self.start}:{self.stop} {self.code}"


Segments = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Spikes:
    """Spike counts along the last axis: one code, or segments of channels with codes of their own."""

    segments: Segments
    shape: Shape

    @property
    def code(self) -> Code:
        """The one code of all channels. Raises IRError where channels differ."""
        if len(self.segments) != 1:
            raise IRError(f"{self} has no single code")
        return self.segments[0].code

    @property
    def starts(self) -> tuple[int, ...]:
        """First channel of each segment."""
        return tuple(s.start for s in self.segments)

    @property
    def steps(self) -> int:
        """Time steps until the last channel has said its count."""
        return max(s.code.steps for s in self.segments)

    def __str__(self) -> str:
        inner = str(self.code) if len(self.segments) == 1 else ", ".join(map(str, self.segments))
        return f"spikes<{inner}>{_dims(self.shape)}"


@dataclass(frozen=True, slots=True)
class Ints:
    """Plain integers of so many bits: the operand of a product that is not spiked."""

    bits: int
    signed: bool
    shape: Shape

    @property
    def top(self) -> int:
        """The largest magnitude used (symmetric where signed)."""
        return int(2 ** (self.bits - 1) - 1) if self.signed else int(2**self.bits - 1)

    def __str__(self) -> str:
        return f"{'ints' if self.signed else 'uints'}<{self.bits}>{_dims(self.shape)}"


@dataclass(frozen=True, slots=True)
class Membrane:
    """Sums of weights (or integers) over spikes; one plane for each weight group and segment.

    Held as [..., planes, last]; the shape in the type leaves the planes out. dtype i32, or f32 where the
    weights themselves are float. `starts` are the first inputs of the segments of the spikes it sums.
    """

    dtype: str
    planes: int
    shape: Shape
    starts: tuple[int, ...] = (0,)

    def __str__(self) -> str:
        starts = f", starts={':'.join(map(str, self.starts))}" if self.starts != (0,) else ""
        return f"membrane<{self.dtype}, planes={self.planes}{starts}>{_dims(self.shape)}"


@dataclass(frozen=True, slots=True)
class Train:
    """Binary spikes of `steps` explicit time steps, held as [T, ...]."""

    steps: int
    shape: Shape

    def __str__(self) -> str:
        return f"train<T={self.steps}>{_dims(self.shape)}"


@dataclass(frozen=True, slots=True)
class Current:
    """Input current of each time step in fixed point with `frac` fractional bits, held as i32 [T, ...]."""

    steps: int
    frac: int
    shape: Shape

    def __str__(self) -> str:
        return f"current<T={self.steps}, frac={self.frac}>{_dims(self.shape)}"


Type = Tensor | Spikes | Ints | Membrane | Train | Current


# The parts of a weight: for each its little-endian dtype and its shape.
Forms = dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class FloatWeight:
    """A float32 weight, or constant, of any shape."""

    shape: tuple[int, ...]

    @property
    def forms(self) -> Forms:
        return {"values": ("<f4", self.shape)}

    def __str__(self) -> str:
        return "f32" + _dims(self.shape)


@dataclass(frozen=True, slots=True)
class GridWeight:
    """A matrix [out, in] on a uniform grid: w = scale·code (+ minimum), one scale per `group` inputs.

    Codes are int8, -2^(bits-1) … 2^(bits-1)-1, or 0 … 2^bits-1 where there is a minimum.
    Scales and minima are float16 [out, groups].

    Where weights are spikes themselves, `segments` say of which code those of each input are: a code is then a count,
    held in `bits` bits, within what its spike code carries.
    """

    bits: int
    group: int
    minimum: bool
    shape: tuple[int, int]
    segments: Segments = ()

    def __post_init__(self) -> None:
        most = 7 if self.minimum else 8
        if not (1 <= self.bits <= most and self.group >= 1):
            raise IRError(f"{self}: bits are 1 to {most}{' beside a minimum' * self.minimum}, a group at least 1 input")
        low, high = self.range
        edges = [0, *(s.stop for s in self.segments)]
        joined = [s.start for s in self.segments] == edges[:-1] and all(s.start < s.stop for s in self.segments)
        if not joined or edges[-1] not in ({self.shape[1]} if self.segments else {0}):
            raise IRError(f"{self}: the segments do not cover 0:{self.shape[1]}")
        if any(s.code.lo < low or s.code.hi > high for s in self.segments):
            raise IRError(f"{self}: spikes are counts of {low} to {high} here")

    @property
    def groups(self) -> int:
        return -(-self.shape[1] // self.group)

    @property
    def forms(self) -> Forms:
        each = (self.shape[0], self.groups)
        forms: Forms = {"codes": ("|i1", self.shape), "scales": ("<f2", each)}
        return {**forms, "minima": ("<f2", each)} if self.minimum else forms

    @property
    def range(self) -> tuple[int, int]:
        return (0, 2**self.bits - 1) if self.minimum else (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)

    @property
    def ranges(self) -> tuple[tuple[int, int, int, int], ...]:
        """Runs of inputs, start and stop, and the least and the greatest code there."""
        if not self.segments:
            return ((0, self.shape[1], *self.range),)
        return tuple((s.start, s.stop, s.code.lo, s.code.hi) for s in self.segments)

    @property
    def code_bits(self) -> float:
        """Bits of a code, averaged over inputs."""
        if not self.segments:
            return self.bits
        return sum((stop - start) * (high - low).bit_length() for start, stop, low, high in self.ranges) / self.shape[1]

    @property
    def bits_per_weight(self) -> float:
        """Bits a weight costs with its share of 16-bit scales and minima."""
        return self.code_bits + 16.0 * (2 if self.minimum else 1) * self.groups / self.shape[1]

    def __str__(self) -> str:
        more = ", min" * self.minimum + "".join(f", {s}" for s in self.segments)
        return f"q{self.bits}{{group={self.group}{more}}}{_dims(self.shape)}"


@dataclass(frozen=True, slots=True)
class RowWeight:
    """A matrix [out, in] of integers on one scale a row: w = scale[o]·(step[o,g]·code[o,i] + offset[o,g]).

    Codes are 0 … 2^bits-1; steps and offsets are integers, one for each `group` inputs; the scale is float32, one a
    row. Such a row needs one membrane and one multiply at read-out; a grid with a float scale for each group needs one
    for each group. (Scales in two levels, as llama.cpp's K-quants have them.)
    """

    bits: int
    group: int
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if not (1 <= self.bits <= 7 and self.group >= 1):
            raise IRError(f"{self}: bits are 1 to 7, a group at least 1 input")

    @property
    def groups(self) -> int:
        return -(-self.shape[1] // self.group)

    @property
    def forms(self) -> Forms:
        each = (self.shape[0], self.groups)
        return {
            "codes": ("|i1", self.shape),
            "steps": ("|u1", each),
            "offsets": ("<i2", each),
            "scales": ("<f4", (self.shape[0], 1)),
        }

    @property
    def range(self) -> tuple[int, int]:
        return 0, 2**self.bits - 1

    @property
    def ranges(self) -> tuple[tuple[int, int, int, int], ...]:
        """Runs of inputs, start and stop, and the least and the greatest code there: one run."""
        return ((0, self.shape[1], *self.range),)

    @property
    def code_bits(self) -> float:
        """Bits of a code."""
        return self.bits

    @property
    def bits_per_weight(self) -> float:
        """Bits a weight costs with its share of 8-bit steps, 16-bit offsets and the row's 32-bit scale."""
        return self.bits + (24.0 * self.groups + 32.0) / self.shape[1]

    def __str__(self) -> str:
        return f"r{self.bits}{{group={self.group}}}{_dims(self.shape)}"


@dataclass(frozen=True, slots=True)
class FixedWeight:
    """A weight in fixed point, int16 with `frac` fractional bits: what LIF currents are made of."""

    frac: int
    shape: tuple[int, ...]

    @property
    def forms(self) -> Forms:
        return {"codes": ("<i2", self.shape)}

    def __str__(self) -> str:
        return f"fixed{{frac={self.frac}}}{_dims(self.shape)}"


WeightType = FloatWeight | GridWeight | RowWeight | FixedWeight


@dataclass(frozen=True, slots=True)
class Plane:
    """Inputs `start` to `stop` of a linear, which share one spike segment and one weight group."""

    start: int
    stop: int
    segment: int
    group: int


def planes(starts: tuple[int, ...], weight: WeightType) -> tuple[Plane, ...]:
    """The membrane planes of a spiked linear: the common refinement of segments and weight groups."""
    inputs = weight.shape[1]
    group = weight.group if isinstance(weight, GridWeight) else inputs
    cuts = sorted({*range(0, inputs, group), *starts})
    return tuple(
        Plane(start, stop, bisect_right(starts, start) - 1, start // group)
        for start, stop in zip(cuts, [*cuts[1:], inputs], strict=True)
    )
