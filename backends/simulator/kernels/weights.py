"""Weights in the forms that kernels want, each made when first asked for and then kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .spikes import Plane

Array = NDArray[Any]


class Weights:
    """Tensors by name, as they stand in the file."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors
        self._made: dict[tuple[Any, ...], Array] = {}

    def _once(self, key: tuple[Any, ...], make: Callable[[], Array]) -> Array:
        if key not in self._made:
            self._made[key] = np.ascontiguousarray(make())
        return self._made[key]

    def values(self, name: str) -> Array:
        """A float weight, float32."""
        return self._tensors[name]

    def fixed(self, name: str, frac: int) -> Array:
        """Float32 values of a weight in fixed point."""
        return self._once(
            ("fixed", name), lambda: self._tensors[f"{name}.codes"].astype(np.float32) / np.float32(2**frac)
        )

    def grid(self, name: str, group: int) -> Array:
        """Float32 values of a weight on a grid, [out, in]."""

        def make() -> Array:
            y = self._integers(name, group).astype(np.float32) * self._spread(name, "scales", group)
            return y + self._spread(name, "minima", group) if f"{name}.minima" in self._tensors else y

        return self._once(("grid", name), make)

    def _spread(self, name: str, part: str, group: int) -> Array:
        """A part that holds one number for each group, as one for each input: float32 [out, in] (or [out, 1])."""
        values = self._tensors[f"{name}.{part}"].astype(np.float32)
        inputs = self._tensors[f"{name}.codes"].shape[1]
        return values if values.shape[1] == 1 else np.repeat(values, group, axis=1)[:, :inputs]

    def _integers(self, name: str, group: int) -> Array:
        """What spikes add: codes (step·code + offset where rows have one scale), or the values of a float weight."""
        codes = self._tensors.get(f"{name}.codes")
        if codes is None:
            return self._tensors[name]
        if f"{name}.steps" not in self._tensors:
            return codes

        def make() -> Array:
            # Small integers, which float32 holds exactly.
            step, offset = (self._spread(name, part, group) for part in ("steps", "offsets"))
            return (codes.astype(np.float32) * step + offset).astype(np.int32)

        return self._once(("integers", name), make)

    def codes(self, name: str) -> Array:
        """Codes of a weight in fixed point, int32."""
        return self._once(("codes", name), lambda: self._tensors[f"{name}.codes"].astype(np.int32))

    def columns(self, name: str, group: int = 0) -> Array:
        """The transpose [in, out], so that the column a spike adds is one run of memory."""
        return self._once(("columns", name), lambda: self._integers(name, group).T)

    def sums(self, name: str, cells: Sequence[Plane], group: int = 0) -> Array:
        """Sum of the columns of each plane, [planes, out]: int32, or float32 of a float weight."""
        dtype = np.float32 if self._integers(name, group).dtype.kind == "f" else np.int32

        def make() -> Array:
            whole = self._integers(name, group)
            return np.stack([whole[:, p.start : p.stop].sum(1, dtype=dtype) for p in cells])

        return self._once(("sums", name, tuple(p.start for p in cells)), make)

    def per_plane(self, name: str, part: str, cells: Sequence[Plane]) -> Array:
        """Scales or minima of the group of each plane, float32 [planes, out]."""
        return self._once(
            (part, name, tuple(p.start for p in cells)),
            lambda: self._tensors[f"{name}.{part}"].astype(np.float32).T[[p.group for p in cells]],
        )
