"""Nodes in the making, of the graph or of a function, written as calls: `b("Mul", x, b.f32(2.0))`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as onnx
from numpy.typing import NDArray

Array = NDArray[Any]
Value = onnx.Value

INT8, UINT8, INT16, INT32, INT64, FLOAT, BOOL = (
    onnx.DataType[name] for name in ("INT8", "UINT8", "INT16", "INT32", "INT64", "FLOAT", "BOOL")
)


class Body:
    """A list of nodes. `constant` says how an array becomes a value: a node in a function, an initializer outside."""

    def __init__(self, constant: Callable[[Array], Value] | None = None) -> None:
        self.nodes: list[onnx.Node] = []
        self._constant = constant or self._constant_node
        self._known: dict[tuple[str, tuple[int, ...], bytes], Value] = {}

    def __call__(self, kind: str, *inputs: Value | None, domain: str = "", **attributes: Any) -> Value:
        """Append a node of one output and give that."""
        return self.many(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def many(
        self, kind: str, *inputs: Value | None, outputs: int, domain: str = "", **attributes: Any
    ) -> Sequence[Value]:
        """The same with several outputs."""
        node = onnx.node(kind, inputs, attributes, domain=domain, num_outputs=outputs)
        self.nodes.append(node)
        return node.outputs

    def array(self, value: Array) -> Value:
        """A constant; equal ones are one."""
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = self._constant(value)
        return self._known[key]

    def f32(self, value: Any) -> Value:
        """A float32 constant."""
        return self.array(np.asarray(value, dtype=np.float32))

    def i32(self, value: Any) -> Value:
        """An int32 constant; what leaves 32 bits wraps around."""
        return self.array(np.asarray(value, dtype=np.int64).astype(np.int32))

    def i64(self, value: Any) -> Value:
        """An int64 constant, such as a list of axes."""
        return self.array(np.asarray(value, dtype=np.int64))

    def cast(self, x: Value, to: onnx.DataType) -> Value:
        """x in another dtype."""
        return self("Cast", x, to=int(to))

    def part(self, x: Value, axis: int, start: int, stop: int) -> Value:
        """Elements start to stop along an axis."""
        return self("Slice", x, self.i64([start]), self.i64([stop]), self.i64([axis]))

    def join(self, parts: Sequence[Value], axis: int) -> Value:
        """Several values one after the other; one is itself."""
        return parts[0] if len(parts) == 1 else self("Concat", *parts, axis=axis)

    def steps(self, x: Value, count: int) -> list[Value]:
        """The parts of the first axis, each without it."""
        parts = self.many("Split", x, outputs=count, axis=0, num_outputs=count) if count > 1 else [x]
        return [self("Squeeze", part, self.i64([0])) for part in parts]

    def with_tail(self, x: Value, like: Value, keep: int, tail: Sequence[int]) -> Value:
        """x in the shape of `like` without its last `keep` axes, then `tail`."""
        lead = self("Shape", like, start=0, end=-keep)
        return self("Reshape", x, self("Concat", lead, self.i64(list(tail)), axis=0))

    def _constant_node(self, value: Array) -> Value:
        return self("Constant", value=onnx.tensor(value))
