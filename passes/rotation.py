"""Orthogonal matrices that are cheap to apply: a Hadamard matrix where the size allows, Kronecker a small factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rotation:
    """x · (factor ⊗ H/√h): width = factor's size times the power of two h; the factor comes from `seed`."""

    hadamard: int
    factor: NDArray[np.float32]
    seed: int

    @property
    def name(self) -> str:
        """What the factor is called as a weight: factors of other seeds must not take each other's place."""
        return f"rotation.{len(self.factor)}" + (f".{self.seed}" if self.seed else "")

    @property
    def width(self) -> int:
        """Channels it turns."""
        return self.hadamard * len(self.factor)

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rotate the last axis."""
        y = x.astype(np.float64).reshape(*x.shape[:-1], -1, self.hadamard)
        step = 1
        while step < self.hadamard:
            pairs = y.reshape(*y.shape[:-1], -1, 2, step)
            y = np.stack((pairs[..., 0, :] + pairs[..., 1, :], pairs[..., 0, :] - pairs[..., 1, :]), axis=-2)
            y = y.reshape(*x.shape[:-1], -1, self.hadamard)
            step *= 2
        y = np.einsum("...fh,fg->...gh", y / np.sqrt(self.hadamard), self.factor.astype(np.float64))
        return np.asarray(y.reshape(x.shape), dtype=np.float32)


def rotation(width: int, seed: int) -> Rotation:
    """A rotation of that width; the odd part is a random orthogonal matrix from the seed (1 where there is none)."""
    power = width & -width
    odd = width // power
    if odd == 1:
        return Rotation(power, np.ones((1, 1), dtype=np.float32), seed)
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(odd, odd)))
    return Rotation(power, np.asarray(q * np.sign(np.diag(r)), dtype=np.float32), seed)
