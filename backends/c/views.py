"""Values as they lie in memory: a base pointer, a shape and strides, all C text. Reshapes, permutations and slices of a
value are other views of the same memory.

There is one sequence, so axes of size B are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from ...ir import IRError

Size = int | str  # a number, or C text
NEW, ALL = "t->S", "t->T"
HALF = "uint16_t"  # a float16


def size_of(ctype: str) -> int:
    """Bytes of an element of a C type."""
    return {"int8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "float": 4, "int64_t": 8, "bool": 1}[ctype]


@dataclass(frozen=True, slots=True)
class Slot:
    """A piece of memory."""

    name: str


@dataclass(frozen=True, slots=True)
class View:
    """Elements of C type `ctype` at `base` + `offset`."""

    base: str
    ctype: str
    dims: tuple[Size, ...]
    strides: tuple[Size, ...]
    slot: Slot
    offset: int = 0

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return size_of(self.ctype)

    @property
    def pointer(self) -> str:
        """Where the first element is."""
        return f"{self.base} + {self.offset}" if self.offset else self.base

    @property
    def shape(self) -> str:
        """Sizes through four axes, as C text. Raises IRError if there are more."""
        return four(self._axes()[0], 1)

    @property
    def place(self) -> str:
        """Where it is and how it lies: a pointer and strides through four axes, as two arguments."""
        return f"{self.pointer}, {self.lies}"

    @property
    def lies(self) -> str:
        """Strides through four axes."""
        return four(self._axes()[1])

    def _axes(self) -> tuple[list[Size], list[Size]]:
        dims, strides = list(self.dims), list(self.strides)
        while len(dims) > 4:
            if 1 not in dims:
                raise IRError(f"a value of {len(self.dims)} axes {list(self.dims)}: kernels see at most four")
            one = dims.index(1)
            del dims[one], strides[one]
        return dims, strides

    def permuted(self, axes: tuple[int, ...]) -> View:
        return replace(self, dims=tuple(self.dims[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def sliced(self, axis: int, start: int, stop: int) -> View | None:
        """Elements start to stop of an axis; None if the offset would not be a number."""
        stride = self.strides[axis]
        if start and not isinstance(stride, int):
            return None
        dims = (*self.dims[:axis], stop - start, *self.dims[axis + 1 :])
        return replace(self, dims=dims, offset=self.offset + start * (stride if isinstance(stride, int) else 0))

    def reshaped(self, dims: tuple[Size, ...]) -> View | None:
        """The same elements in another shape; None if they would have to be moved."""
        strides: list[Size] = []
        old, new = _runs(self.dims), _runs(dims)
        if [_product(self.dims, run) for run, _ in old] != [_product(dims, run) for run, _ in new]:
            return None
        for (have, symbol), (want, _) in zip(old, new, strict=True):
            made = _restride([(self.dims[i], self.strides[i]) for i in have], [dims[i] for i in want])
            if made is None:
                return None
            strides += made
            if symbol is not None:
                strides.append(self.strides[symbol])
        return replace(self, dims=dims, strides=tuple(strides))


def four(items: Sequence[Size], fill: int = 0) -> str:
    """Four numbers as a C literal, filled up from the left."""
    return f"SD_4({', '.join(map(str, [fill] * (4 - len(items)) + list(items)))})"


def call(function: str, *arguments: object) -> str:
    """A statement that calls a function, whose first argument is always the thread."""
    return f"{function}({', '.join(['t', *map(str, arguments)])});"


def flag(value: object) -> str:
    """A C truth value."""
    return "true" if value else "false"


def _product(dims: tuple[Size, ...], axes: list[int]) -> int:
    return prod(d for d in (dims[i] for i in axes) if isinstance(d, int))


def _runs(dims: tuple[Size, ...]) -> list[tuple[list[int], int | None]]:
    """Axes of known size between those of unknown size, each run with the unknown axis after it."""
    runs: list[tuple[list[int], int | None]] = []
    run: list[int] = []
    for i, d in enumerate(dims):
        if isinstance(d, int):
            run.append(i)
        else:
            runs.append((run, i))
            run = []
    return [*runs, (run, None)]


def _restride(have: list[tuple[Size, Size]], want: list[Size]) -> list[Size] | None:
    """Strides of axes `want` over the memory of axes `have`."""
    have = [(d, s) for d, s in have if d != 1]
    if [d for d, _ in have] == [d for d in want if d != 1]:
        left = [s for _, s in have]
        return [left.pop(0) if d != 1 else 0 for d in want]
    packed = all(
        isinstance(s, int) and isinstance(d, int) and isinstance(outer, int) and outer == s * d
        for (_, outer), (d, s) in pairwise(have)
    )
    last = have[-1][1] if have else 1
    if not packed or not isinstance(last, int):
        return None
    strides: list[Size] = []
    at = last
    for d in reversed(want):
        strides.append(at)
        at *= int(d)
    return strides[::-1]
