"""How values of the language are held in ONNX: dtypes, shapes and names."""

from __future__ import annotations

import re

import onnx_ir as onnx

from ...ir import Current, Ints, Membrane, Spikes, State, Tensor, Train, Value
from ...ir.types import Dim, Type
from .body import BOOL, FLOAT, INT8, INT16, INT32, INT64, UINT8
from .integers import zero_points

# Names of axes, inputs and outputs as optimum and transformers.js have them.
DIMS = {
    "B": "batch_size",
    "S": "sequence_length",
    "P": "past_sequence_length",
    "P+S": "past_sequence_length + sequence_length",
}
INPUTS = {
    "ids": "input_ids",
    "positions": "position_ids",
    "mask": "attention_mask",
    "types": "token_type_ids",
}
OUTPUTS = {"hidden": "last_hidden_state", "pooled": "pooler_output"}

_DTYPES = {"f32": FLOAT, "i32": INT32, "i64": INT64, "bool": BOOL}
_KV = re.compile(r"kv\.(\d+)\.(k|v)(\.scale)?")
_WORDS = {"k": "key", "v": "value"}


def narrow(low: int, high: int) -> onnx.DataType:
    """The narrowest dtype that holds low … high; no uint16, which few operators take."""
    for dtype, least, most in ((INT8, -(2**7), 2**7 - 1), (UINT8, 0, 2**8 - 1), (INT16, -(2**15), 2**15 - 1)):
        if least <= low and high <= most:
            return dtype
    return INT32


def span(of: Spikes | Ints) -> tuple[int, int]:
    """Least and largest count of spikes, or integer of a type."""
    if isinstance(of, Ints):
        return (-of.top if of.signed else 0), of.top
    return min(s.code.lo for s in of.segments), max(s.code.hi for s in of.segments)


def dtype(of: Type, *, fast: bool = False) -> onnx.DataType:
    """The dtype of a value. Fast programs hold the integers of attention as floats, exact up to 2^24."""
    if isinstance(of, Spikes | Ints):
        return FLOAT if fast and (isinstance(of, Ints) or len(of.shape) == 4) else narrow(*span(of))
    if isinstance(of, Tensor):
        return _DTYPES[of.dtype]
    if isinstance(of, Membrane):
        return INT32 if of.dtype == "i32" else FLOAT
    return INT8 if isinstance(of, Train) else INT32


def axes(of: Type) -> tuple[Dim, ...]:
    """The axes of a value as it is held: planes and time steps among them."""
    if isinstance(of, Membrane):
        return (*of.shape[:-1], of.planes, of.shape[-1])
    return (of.steps, *of.shape) if isinstance(of, Train | Current) else of.shape


def stacked(of: Spikes) -> tuple[Dim, ...]:
    """The axes of counts as bytes, planes below each other."""
    planes = len(zero_points(*span(of)))
    if planes == 1:
        return of.shape
    return (*of.shape[:-2], f"{planes}*{DIMS.get(str(of.shape[-2]), of.shape[-2])}", of.shape[-1])


def value(name: str, kind: onnx.DataType, shape: tuple[Dim, ...]) -> onnx.Value:
    """A value of the graph, its symbols named as others name them."""
    dims = [DIMS.get(d, d) if isinstance(d, str) else d for d in shape]
    return onnx.Value(name=name, type=onnx.TensorType(kind), shape=onnx.Shape(dims))


def input_name(of: Value) -> str:
    """The name of a program's input."""
    return INPUTS.get(of.name, of.name)


def output_name(name: str) -> str:
    """The name of a program's output."""
    return OUTPUTS.get(name, name)


def state_names(state: State) -> tuple[str, str]:
    """Input and output of a state: `past_key_values.0.key` and `present.0.key`, or `….0.key_scale`."""
    match = _KV.fullmatch(state.name)
    inner = f"{match[1]}.{_WORDS[match[2]]}{'_scale' * bool(match[3])}" if match else state.name
    return f"past_key_values.{inner}", f"present.{inner}"
