"""What a rule builds with: the IR builder, values of FX nodes, weights, shapes and locations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from ...ir import Builder, Dim, FixedWeight, FloatWeight, Loc, Store, Weight
from ...ir import Tensor as IRTensor
from ...ir import Value as IRValue
from ..errors import InputError
from ..sources.source import Array
from .errors import UnsupportedOp
from .masks import MaskRule
from .pattern import Match, describe, module_path, parameter, source_line


class Emit:
    """Builds the IR of one program."""

    def __init__(
        self,
        symbols: Mapping[str, Dim],
        masks: tuple[MaskRule, ...],
        aliases: Mapping[str, str],
        read: Callable[[str], Array] | None,
        store: Store | None,
    ) -> None:
        self.builder = Builder()
        self.masks = masks
        self.layers = 0
        self.values: dict[Node, IRValue] = {}
        self.mask: IRValue | None = None
        self._symbols, self._aliases, self._read, self._store = symbols, aliases, read, store
        self._loc = Loc("")

    def at(self, root: Node, match: Match) -> None:
        """Ops built from here on come from this match."""
        sources = [source_line(n) for n in sorted(match.nodes)]
        self._loc = Loc(module_path(root), tuple(dict.fromkeys(s for s in sources if s)))

    def op(self, name: str, *operands: Node | IRValue, **rest: Any) -> IRValue:
        """Append an op with one result."""
        values = [self.values[o] if isinstance(o, Node) else o for o in operands]
        return self.builder.one(name, *values, loc=self._loc, **rest)

    def weight(self, node: Node, *, transpose: bool = False, plus: float = 0.0) -> str:
        """Declare the program weight of a parameter; tied parameters are one weight.

        Transposed, or with a number added, it is a weight of its own, named `….T` or `….plus1`.
        """
        name = parameter(node)
        assert name is not None
        name = self._aliases.get(name, name)
        shape = tuple(int(d) for d in node.meta["val"].shape)
        if transpose:
            return self._declare(f"{name}.T", shape[::-1], lambda: self._numbers(name).T)
        if plus:
            return self._declare(f"{name}.plus{plus:g}", shape, lambda: self._numbers(name) + np.float32(plus))
        return self._declare(name, shape, lambda: self._numbers(name))

    def fixed(self, node: Node, frac: int) -> str:
        """Declare a parameter as a weight in fixed point of int16, rounded to `frac` bits behind the point."""
        name = parameter(node)
        assert name is not None
        name = self._aliases.get(name, name)
        of = FixedWeight(frac, tuple(int(d) for d in node.meta["val"].shape))
        if self._store is None or self._read is None:
            return self.builder.weight(Weight(name, of, ""))
        codes = np.rint(self._numbers(name).astype(np.float64) * 2**frac).clip(-(2**15), 2**15 - 1)
        return self.builder.weight(self._store.put(name, of, {"codes": codes.astype(np.int16)}))

    def _numbers(self, name: str) -> Array:
        assert self._read is not None
        return self._read(name)

    def _declare(self, name: str, shape: tuple[int, ...], read: Callable[[], Array]) -> str:
        if name in self.builder.weights:
            return name
        if self._store is None or self._read is None:
            return self.builder.weight(Weight(name, FloatWeight(shape), ""))
        declared = self._store.put_lazy(name, read)
        if declared.type.shape != shape:
            raise InputError(f"'{name}' has shape {list(declared.type.shape)}, but the config says {list(shape)}")
        return self.builder.weight(declared)

    def shape(self, node: Node) -> tuple[Dim, ...]:
        """A node's shape with our symbols. Batch and length merged into one axis (`B*S`) are two axes again.

        Raises UnsupportedOp for any other size that depends on the input.
        """
        out: list[Dim] = []
        for d in node.meta["val"].shape:
            key = str(d)
            if isinstance(d, int):
                out.append(d)
            elif key in self._symbols:
                out.append(self._symbols[key])
            elif set(key.split("*")) == set(self._symbols):
                out += ["B", "S"]
            else:
                raise UnsupportedOp(f"size {key} depends on the input, in {describe(node)}")
        return tuple(out)

    def dims(self, node: Node) -> tuple[Dim, ...]:
        """The shape of the IR value that stands for a node."""
        of = self.values[node].type
        assert isinstance(of, IRTensor)
        return of.shape

    def reshape(self, x: Node | IRValue, shape: Iterable[Dim]) -> IRValue:
        """`x` in another shape; `x` itself if it has it."""
        value = self.values[x] if isinstance(x, Node) else x
        wanted = tuple(shape)
        assert isinstance(value.type, IRTensor)
        return value if value.type.shape == wanted else self.op("nn.reshape", value, shape=wanted)

    def axis(self, node: Node, from_last: int) -> int:
        """An axis counted from the last (-1), counted from the first instead."""
        return len(self.dims(node)) + from_last


def numbers(tensors: Mapping[str, Array], buffers: Mapping[str, torch.Tensor]) -> Callable[[str], Array]:
    """Reads computed buffers from the one, and everything else from the other."""

    def read(name: str) -> Array:
        if name in tensors:
            return tensors[name]
        values: Array = buffers[name].to(torch.float32).numpy()
        return np.ascontiguousarray(values)

    return read
