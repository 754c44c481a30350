"""The table of reference kernels: one torch function an op, entered under the op's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch

from ..program import Op, Program
from ..types import Type, WeightType

T = torch.Tensor


@dataclass(frozen=True, slots=True)
class WeightData:
    """A weight at run time: its type, float32 values, and codes as float32 integers where it is on a grid."""

    type: WeightType
    parts: Mapping[str, T]

    @property
    def values(self) -> T:
        """Float32 values, dequantised."""
        return self.parts["dequantized"]


@dataclass(frozen=True, slots=True)
class Call:
    """One execution of an op. Membranes are [..., planes, last], trains and currents [T, ...]."""

    op: Op
    operands: tuple[T, ...]
    weights: tuple[WeightData, ...]
    state: MutableMapping[str, T]
    in_time: bool

    def attr(self, name: str) -> Any:
        return self.op.attrs[name]

    def type(self, index: int) -> Type:
        return self.op.operands[index].type


Kernel = Callable[[Call], tuple[T, ...]]
KERNELS: dict[str, Kernel] = {}


def kernel(name: str) -> Callable[[Kernel], Kernel]:
    """Enter the reference kernel of an op."""

    def enter(function: Kernel) -> Kernel:
        KERNELS[name] = function
        return function

    return enter


__all__ = ["KERNELS", "Call", "Kernel", "Program", "T", "WeightData", "kernel"]
