"""Spike codes: how an integer count becomes a train of spikes, and back.

A code maps a count n to a train s[t], t = 0 … steps-1, with step weights w[t], n = Σ w[t]·s[t]. The membrane
that a train drives is only ever added to, negated or doubled: before step t it is doubled `doublings[t]` times,
then ±W is added for each spike. In a ramp's steps spikes go into a slope, which every step adds to the membrane.

The laws (tests/ir/test_codes.py): decode(encode(n)) = n on the whole range; integrating the train by additions
and doublings gives n too; `spikes(n)` is the number of ±1 additions.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .errors import IRError

Counts = NDArray[np.integer[Any]]
TrainArray = NDArray[np.int8] | NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Code(ABC):
    """One spike code; its fields are what its text form shows: `ternary{T=7}`."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def steps(self) -> int:
        """Time steps of a train."""

    @property
    @abstractmethod
    def lo(self) -> int:
        """The least count a train can carry."""

    @property
    @abstractmethod
    def hi(self) -> int:
        """The greatest count a train can carry."""

    @abstractmethod
    def encode(self, n: Counts) -> TrainArray:
        """Counts [...] within lo … hi to a train [steps, ...], int8 (int16 where spikes have more than 127 levels);
        values beyond the range are clamped to it."""

    @property
    def doublings(self) -> tuple[int, ...]:
        """How often the membrane is doubled before each step."""
        return (0,) * self.steps

    @property
    def ramps(self) -> tuple[bool, ...]:
        """Whether a step's spikes go into the slope, and the slope, cleared by doublings, into the membrane."""
        return (False,) * self.steps

    @property
    def level(self) -> int:
        """The largest magnitude of one spike: 1, but for multi-level codes."""
        return 1

    @property
    def weights(self) -> NDArray[np.int64]:
        """Step weights w[t], [steps]."""
        after = np.cumsum(np.array(self.doublings)[::-1])[::-1]
        return np.asarray(2 ** np.append(after[1:], 0), dtype=np.int64)

    def decode(self, train: TrainArray) -> NDArray[np.int64]:
        """A train [steps, ...] back to counts [...]."""
        return np.asarray(np.tensordot(self.weights, train.astype(np.int64), axes=1), dtype=np.int64)

    def spikes(self, n: Counts) -> NDArray[np.int64]:
        """±1 spikes in the train of each count, which is the signed additions it costs for each output."""
        return np.asarray(np.abs(self.encode(n)).sum(axis=0, dtype=np.int64))

    def priced(self, top: int, price: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Counts chosen by rate and distortion together: the n that makes (n - u)² + price·spikes(n) least.

        Gives edges [k-1] and counts [k] within -top … top, both ascending: u between edges i-1 and i (the upper one
        included) takes count i. Some counts are never best and are left out. (Ours.)
        """
        return _envelope(self, max(self.lo, -top), min(self.hi, top), price)

    def _clamped(self, n: Counts) -> NDArray[np.int64]:
        return np.clip(np.asarray(n, dtype=np.int64), self.lo, self.hi)

    def __str__(self) -> str:
        inner = ", ".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))
        return f"{self.name}{{{inner}}}"


@lru_cache(maxsize=256)
def _envelope(code: Code, low: int, high: int, price: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    counts = np.arange(low, high + 1)
    # (n - u)² + price·spikes is, but for u², a line in u: its lower envelope is found by one sweep over the slopes.
    heights = counts.astype(np.float64) ** 2 + price * code.spikes(counts)
    kept, edges = [0], [-np.inf]
    for i in range(1, len(counts)):
        while True:
            last = kept[-1]
            edge = (heights[i] - heights[last]) / (2.0 * (counts[i] - counts[last]))
            if edge > edges[-1]:
                break
            kept.pop()
            edges.pop()
        kept.append(i)
        edges.append(edge)
    return np.array(edges[1:], dtype=np.float32), counts[kept].astype(np.int32)


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise IRError(message)


@dataclass(frozen=True, slots=True)
class Binary(Code):
    """Unary, 0 or 1 a step: n spikes in T steps."""

    name = "binary"
    T: int

    def __post_init__(self) -> None:
        _require(self.T >= 1, f"{self}: T must be at least 1")

    @property
    def steps(self) -> int:
        return self.T

    @property
    def lo(self) -> int:
        return 0

    @property
    def hi(self) -> int:
        return self.T

    def encode(self, n: Counts) -> NDArray[np.int8]:
        c = self._clamped(n)
        step = np.arange(self.T).reshape(-1, *[1] * c.ndim)
        return (step < c).astype(np.int8)

    def spikes(self, n: Counts) -> NDArray[np.int64]:
        return self._clamped(n)


@dataclass(frozen=True, slots=True)
class Ternary(Code):
    """Unary, -1, 0 or 1 a step: |n| spikes of n's sign (SDLLM's bidirectional encoding)."""

    name = "ternary"
    T: int

    def __post_init__(self) -> None:
        _require(self.T >= 1, f"{self}: T must be at least 1")

    @property
    def steps(self) -> int:
        return self.T

    @property
    def lo(self) -> int:
        return -self.T

    @property
    def hi(self) -> int:
        return self.T

    def encode(self, n: Counts) -> NDArray[np.int8]:
        c = self._clamped(n)
        step = np.arange(self.T).reshape(-1, *[1] * c.ndim)
        return ((step < np.abs(c)) * np.sign(c)).astype(np.int8)

    def spikes(self, n: Counts) -> NDArray[np.int64]:
        return np.abs(self._clamped(n))


@dataclass(frozen=True, slots=True)
class _Positional(Code):
    """Codes whose step t weighs 2^(T-1-t): most significant first, one doubling between steps."""

    T: int

    def __post_init__(self) -> None:
        _require(1 <= self.T <= 30, f"{self}: T must be 1 to 30")

    @property
    def steps(self) -> int:
        return self.T

    @property
    def doublings(self) -> tuple[int, ...]:
        return (0,) + (1,) * (self.T - 1)

    def _digits(self, bits: NDArray[np.int64]) -> NDArray[np.int64]:
        place = np.arange(self.T - 1, -1, -1).reshape(-1, *[1] * bits.ndim)
        return np.asarray((bits >> place) & 1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Bits(_Positional):
    """Bit-wise: the binary digits of n >= 0."""

    name = "bits"

    @property
    def lo(self) -> int:
        return 0

    @property
    def hi(self) -> int:
        return int(2**self.T - 1)

    def encode(self, n: Counts) -> NDArray[np.int8]:
        return self._digits(self._clamped(n)).astype(np.int8)


@dataclass(frozen=True, slots=True)
class SignedBits(_Positional):
    """Signed bit-wise: the binary digits of |n|, each with n's sign."""

    name = "signed_bits"

    @property
    def lo(self) -> int:
        return -self.hi

    @property
    def hi(self) -> int:
        return int(2**self.T - 1)

    def encode(self, n: Counts) -> NDArray[np.int8]:
        c = self._clamped(n)
        return (self._digits(np.abs(c)) * np.sign(c)).astype(np.int8)


@dataclass(frozen=True, slots=True)
class CSD(_Positional):
    """Canonical signed-digit: digits -1, 0, 1, no two neighbours non-zero; the fewest non-zero digits there are."""

    name = "csd"

    @property
    def lo(self) -> int:
        return -self.hi

    @property
    def hi(self) -> int:
        return int(2 ** (self.T + 1) // 3)

    def encode(self, n: Counts) -> NDArray[np.int8]:
        c = self._clamped(n)
        plus, minus = _non_adjacent(np.abs(c))
        return ((self._digits(plus) - self._digits(minus)) * np.sign(c)).astype(np.int8)

    def spikes(self, n: Counts) -> NDArray[np.int64]:
        plus, minus = _non_adjacent(np.abs(self._clamped(n)))
        return np.asarray(np.bitwise_count(plus | minus), dtype=np.int64)


def _non_adjacent(x: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # 3x/2 and x/2 differ exactly where the signed digit is non-zero (Reitwiesner's recoding, in parallel).
    half = x >> 1
    more = x + half
    differ = half ^ more
    return more & differ, half & differ


@dataclass(frozen=True, slots=True)
class GIF(Code):
    """Generalised integrate-and-fire: L levels merge L-1 binary steps into one spike (SpikeLLM).

    Each step fires min(membrane, L-1) and subtracts it; `signed` carries the sign (ternary GIF). A train carries
    T·(L-1) and no more: what a grid of 2^b levels has above that saturates, or T is one step more (the encoder's
    `levels` says which).
    """

    name = "gif"
    L: int
    T: int
    signed: bool = False

    def __post_init__(self) -> None:
        _require(2 <= self.L <= 256 and self.T >= 1, f"{self}: L must be 2 to 256 and T at least 1")

    @property
    def steps(self) -> int:
        return self.T

    @property
    def lo(self) -> int:
        return -self.hi if self.signed else 0

    @property
    def hi(self) -> int:
        return self.T * (self.L - 1)

    @property
    def level(self) -> int:
        return self.L - 1

    def encode(self, n: Counts) -> TrainArray:
        c = self._clamped(n)
        step = np.arange(self.T).reshape(-1, *[1] * c.ndim)
        spikes = np.clip(np.abs(c) - step * self.level, 0, self.level) * np.sign(c)
        return spikes.astype(np.int8) if self.level < 128 else spikes.astype(np.int16)

    def spikes(self, n: Counts) -> NDArray[np.int64]:
        return np.abs(self._clamped(n))

    def __str__(self) -> str:
        return f"gif{{L={self.L}, T={self.T}{', signed=true' if self.signed else ''}}}"


@dataclass(frozen=True, slots=True)
class Ramp(Code):
    """Timed spikes: sign and magnitude in base B, one ±1 spike for each non-zero digit, its time the digit.

    A digit has B-1 steps; a spike at step t adds ±W to a slope, every step adds the slope to the membrane, so
    that it counts B-1-t times. Between digits the membrane is doubled log2 B times and the slope cleared.
    """

    name = "ramp"
    base: int
    digits: int

    def __post_init__(self) -> None:
        power = self.base >= 2 and self.base & (self.base - 1) == 0
        _require(power and self.digits >= 1, f"{self}: base must be a power of two and digits at least 1")
        _require((self.base.bit_length() - 1) * self.digits <= 30, f"{self}: carries more than 30 bits")

    @property
    def steps(self) -> int:
        return self.digits * (self.base - 1)

    @property
    def lo(self) -> int:
        return -self.hi

    @property
    def hi(self) -> int:
        return int(self.base**self.digits - 1)

    @property
    def doublings(self) -> tuple[int, ...]:
        per = self.base - 1
        first = [self.base.bit_length() - 1] + [0] * (per - 1)
        return tuple([0] * per + first * (self.digits - 1))

    @property
    def ramps(self) -> tuple[bool, ...]:
        return (True,) * self.steps

    @property
    def weights(self) -> NDArray[np.int64]:
        within = np.arange(self.base - 1, 0, -1)
        places = self.base ** np.arange(self.digits - 1, -1, -1)
        return np.asarray((places[:, None] * within).reshape(-1), dtype=np.int64)

    def _figures(self, n: Counts) -> NDArray[np.int64]:
        places = self.base ** np.arange(self.digits - 1, -1, -1, dtype=np.int64)
        magnitude = np.abs(self._clamped(n))
        return np.asarray(magnitude // places.reshape(-1, *[1] * magnitude.ndim) % self.base, dtype=np.int64)

    def encode(self, n: Counts) -> NDArray[np.int8]:
        c = self._clamped(n)
        figures = self._figures(c)[:, None]
        step = np.arange(self.base - 1).reshape(1, -1, *[1] * c.ndim)
        train = ((figures > 0) & (step == self.base - 1 - figures)) * np.sign(c)
        return np.asarray(train, dtype=np.int8).reshape(self.steps, *c.shape)

    def spikes(self, n: Counts) -> NDArray[np.int64]:
        return np.asarray((self._figures(n) > 0).sum(axis=0), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class DigitRamp(Code):
    """Large counts by signed digits, small ones by a timed spike: n = h·2^shift + r, |r| <= low.

    `high` steps say h in canonical signed digits, then the membrane is doubled `shift` times and `low` steps say r as a
    ramp does: one ±1 spike, its time the magnitude. Most counts need one spike, rare large ones a few; of the ways to
    split a count the one with the fewest spikes is taken. (Ours.)
    """

    name = "digit_ramp"
    high: int
    shift: int
    low: int

    def __post_init__(self) -> None:
        sizes = 1 <= self.high <= 12 and 1 <= self.shift <= 8
        _require(sizes, f"{self}: high must be 1 to 12 and shift 1 to 8")
        _require(
            2 ** (self.shift - 1) <= self.low <= 127, f"{self}: low must be 2^(shift-1) to 127, or counts are left out"
        )

    @property
    def steps(self) -> int:
        return self.high + self.low

    @property
    def lo(self) -> int:
        return -self.hi

    @property
    def hi(self) -> int:
        return int(CSD(self.high).hi * 2**self.shift + self.low)

    @property
    def doublings(self) -> tuple[int, ...]:
        return (0,) + (1,) * (self.high - 1) + (self.shift,) + (0,) * (self.low - 1)

    @property
    def ramps(self) -> tuple[bool, ...]:
        return (False,) * self.high + (True,) * self.low

    @property
    def weights(self) -> NDArray[np.int64]:
        digits = 2 ** np.arange(self.high + self.shift - 1, self.shift - 1, -1)
        return np.concatenate((digits, np.arange(self.low, 0, -1))).astype(np.int64)

    def _split(self, magnitude: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        high, rest = _splits(self)
        return high[magnitude], rest[magnitude]

    def encode(self, n: Counts) -> NDArray[np.int8]:
        c = self._clamped(n)
        high, rest = self._split(np.abs(c))
        step = np.arange(self.low).reshape(-1, *[1] * c.ndim)
        timed = ((rest != 0) & (step == self.low - np.abs(rest))) * np.sign(rest)
        train = np.concatenate((CSD(self.high).encode(high), timed)) * np.sign(c)
        return np.asarray(train, dtype=np.int8)

    def spikes(self, n: Counts) -> NDArray[np.int64]:
        high, rest = self._split(np.abs(self._clamped(n)))
        return np.asarray(CSD(self.high).spikes(high) + (rest != 0), dtype=np.int64)


@lru_cache(maxsize=64)
def _splits(code: DigitRamp) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """h and r of each magnitude 0 … hi, with the fewest spikes, and the smaller h of those that tie."""
    unit, digits = 2**code.shift, CSD(code.high)
    magnitude = np.arange(code.hi + 1)
    high, rest = np.zeros_like(magnitude), np.zeros_like(magnitude)
    fewest = np.full_like(magnitude, 1 << 20)
    around = (code.low + unit - 1) // unit
    for candidate in (magnitude // unit + k for k in range(around, -around - 1, -1)):
        left = magnitude - candidate * unit
        spikes = digits.spikes(candidate) + (left != 0)
        better = (np.abs(left) <= code.low) & (candidate >= 0) & (candidate <= digits.hi) & (spikes <= fewest)
        high, rest = np.where(better, candidate, high), np.where(better, left, rest)
        fewest = np.where(better, spikes, fewest)
    return high, rest


CODES: dict[str, type[Code]] = {c.name: c for c in (Binary, Ternary, Bits, SignedBits, CSD, GIF, Ramp, DigitRamp)}

_TEXT = re.compile(r"(\w+)\{([^{}]*)\}")


def parse_code(text: str) -> Code:
    """`ternary{T=7}` to its code. Raises IRError on an unknown name or field."""
    match = _TEXT.fullmatch(text.strip())
    if match is None or match[1] not in CODES:
        raise IRError(f"'{text}' is no spike code (one of {', '.join(CODES)}, such as ternary{{T=7}})")
    values: dict[str, int | bool] = {}
    for item in match[2].split(",") if match[2].strip() else ():
        key, _, value = (part.strip() for part in item.partition("="))
        _require(key not in values, f"'{text}': {key} is given twice")
        if key == "signed":
            _require(value in ("true", "false"), f"'{text}': {key} is true or false")
            values[key] = value == "true"
        else:
            _require(re.fullmatch(r"-?[0-9]+", value) is not None, f"'{text}': {key} is not an integer")
            values[key] = int(value)
    try:
        return CODES[match[1]](**values)
    except TypeError as error:
        names = ", ".join(f.name for f in fields(CODES[match[1]]))
        raise IRError(f"'{text}': the fields of {match[1]} are {names}") from error
