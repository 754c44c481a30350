"""The work of a compiled program: its ops by the op table, its spikes as measured on held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...backends.counting import DRIVEN
from ...ir import OPS, FixedWeight, FloatWeight, GridWeight, Ints, Membrane, Op, Program, Spikes, Train, Type
from ...ir.ops.table import count
from ...passes.graph import heads
from ..coverage import args_of, coverage
from ..errors import InputError
from .constants import BINARY_BITS, FIXED_BITS, FLOAT_BITS, ROW_BITS
from .extras import extras
from .work import Head, Product, Uncounted, Work

Line = Mapping[str, Any]
Dims = Mapping[str, int]

# Kinds of the coverage table that the columns count.
COUNTED = (
    "linear layers on spikes", "attention on spikes", "linear layers", "attention", "read-out", "encoders",
    "online rotation",
)  # fmt: skip
_ATTENTION = ("spike.matmul", "lif.coincide", "lif.gather", "nn.attend")


def work_of_program(program: Program, measured: Sequence[Line], seen: int, tokens: int, name: str) -> Work:
    """One sequence through a program. `measured` has a line for each spiked product, in program order (spikes.layers),
    over `seen` tokens; spikes of an activation are taken to be the same at any length.

    Raises InputError if the lines are not those of this program.
    """
    dims = {"B": 1, "S": tokens, "P": 0}
    driven = [op for op in program.ops if op.name in DRIVEN]
    if [(op.loc.module, op.name) for op in driven] != [(m["module"], m["op"]) for m in measured]:
        raise InputError(f"{name}: metrics.json is not of this program; compile the model again")
    spiked = [
        _spiked(program, op, line, tokens / max(seen, 1), dims) for op, line in zip(driven, measured, strict=True)
    ]
    out = heads(program)
    floats = [
        _float(program, op, dims)
        for op in program.ops
        if op.name in ("nn.linear", "nn.attend") and op.result.name not in out
    ]
    linears = [op for op in program.ops if op.name.endswith(".linear") and op.result.name not in out]
    return Work(
        name,
        tokens,
        (*spiked, *floats),
        extras(program, dims),
        scale_bits=_scale_bits(program, dims),
        kv_values=_kv_values(program),
        kv_bits=_kv_bits(program),
        weights=sum(count(program.weights[op.weights[0]].type.shape, {}) for op in linears),
        head=_head(program, out, dims),
        uncounted=tuple(Uncounted(s.kind, s.share) for s in coverage(program, tokens) if s.kind not in COUNTED),
        spikes_from="measured",
    )


def _macs(program: Program, op: Op, dims: Dims) -> int:
    return OPS[op.name].cost(args_of(program, op), tuple(r.type for r in op.results), dims).macs


def _spiked(program: Program, op: Op, line: Line, longer: float, dims: Dims) -> Product:
    macs = _macs(program, op, dims)
    result = op.result.type
    attention = op.name in _ATTENTION
    # Membranes of scores grow with tokens squared, as do multiply-adds; those of all else with tokens.
    squared = op.name == "spike.matmul" and bool(op.attrs.get("transpose"))
    each = macs / line["macs"] if line["macs"] else 0.0
    spikes = 0.0 if attention else sum(line["steps"]) * longer
    return Product(
        attention,
        True,
        macs,
        _operand_bits(program, op),
        stored_bits=_stored_bits(program, op),
        values=0.0 if attention else count(op.operands[0].type.shape, dims),
        additions=line["additions"] * each,
        updates=line["updates"] * (each if squared else longer),
        spikes=spikes,
        cells=count(result.shape, dims) * (result.planes if isinstance(result, Membrane) else 1),
        float_adds=isinstance(result, Membrane) and result.dtype == "f32",
    )


def _float(program: Program, op: Op, dims: Dims) -> Product:
    attention = op.name in _ATTENTION
    values = 0 if attention else count(op.operands[0].type.shape, dims)
    return Product(attention, False, _macs(program, op, dims), _operand_bits(program, op), values=values)


def _operand_bits(program: Program, op: Op) -> float:
    """Width of what one addition, or multiply-add, reads."""
    if op.weights:
        of = program.weights[op.weights[0]].type
        if isinstance(of, FloatWeight | FixedWeight):
            return FLOAT_BITS if isinstance(of, FloatWeight) else FIXED_BITS
        return of.code_bits if isinstance(of, GridWeight) else ROW_BITS
    read = op.operands[0].type
    return BINARY_BITS if isinstance(read, Train) else _bits(read)


def _stored_bits(program: Program, op: Op) -> float:
    """Width of a quantised weight's codes; 0 for what has none."""
    of = program.weights[op.weights[0]].type if op.weights else None
    return 0.0 if of is None or isinstance(of, FloatWeight | FixedWeight) else of.code_bits


def _bits(of: Type) -> float:
    """Bits in which one number of a value is kept, averaged over its channels."""
    if isinstance(of, Ints):
        return of.bits
    if isinstance(of, Train):
        return of.steps * BINARY_BITS
    if isinstance(of, Spikes):
        widths = [(s.stop - s.start, (s.code.hi - s.code.lo).bit_length()) for s in of.segments]
        return sum(w * b for w, b in widths) / sum(w for w, _ in widths)
    return FLOAT_BITS


def _keys_and_values(program: Program) -> list[Type]:
    found = []
    for op in program.ops:
        if op.name in _ATTENTION:
            found += [o.type for o in op.operands[1 : 3 if op.name == "nn.attend" else 2]]
    return found


def _kv_values(program: Program) -> int:
    return sum(count(of.shape, {"B": 1, "S": 1, "P": 0}) for of in _keys_and_values(program))


def _kv_bits(program: Program) -> float:
    """What a token adds to the states, scales included; of a program without states (an encoder) keys and values."""
    if program.states:
        return sum(count(s.type.shape, {"B": 1, "S": 0, "P": 1}) * _bits(s.type) for s in program.states.values())
    return sum(count(of.shape, {"B": 1, "S": 1, "P": 0}) * _bits(of) for of in _keys_and_values(program))


def _scale_bits(program: Program, dims: Dims) -> float:
    """What weights keep beside their codes (scales, minima), read once by each token."""
    total = 0.0
    for op in program.ops:
        if op.name != "spike.linear":
            continue
        of = program.weights[op.weights[0]].type
        if not isinstance(of, FloatWeight | FixedWeight):
            rows, inputs = of.shape
            total += count(op.operands[0].type.shape[:-1], dims) * rows * inputs * (of.bits_per_weight - of.code_bits)
    return total


def _head(program: Program, out: set[str], dims: Dims) -> Head:
    found = [op for op in program.ops if op.result.name in out]
    macs = sum(_macs(program, op, dims) for op in found)
    return Head(macs, _operand_bits(program, found[0]) if found else FLOAT_BITS)
