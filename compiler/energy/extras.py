"""Arithmetic beside the products that columns b and c count: what it takes to make spikes and to read membranes."""

from __future__ import annotations

from collections.abc import Mapping

from ...ir import Current, Membrane, Op, Program
from ...ir.ops.table import count
from .constants import ENCODE, FP32_ADD, FP32_MAC, FP32_MUL, INT32_ADD, INT32_MUL, NEURON
from .part import Part, merged

Dims = Mapping[str, int]


def extras(program: Program, dims: Dims) -> tuple[Part, ...]:
    """Read-out, encoders, zero points, neurons and online rotations of one call."""
    return tuple(merged(part for op in program.ops for part in _parts(op, dims)))


def _parts(op: Op, dims: Dims) -> list[Part]:
    if op.name in ("spike.encode", "int.encode", "lif.current"):
        return [Part("encoders", count(op.operands[0].type.shape, dims), ENCODE)]
    if op.name == "lif.fire":
        of = op.operands[0].type
        assert isinstance(of, Current)
        return [Part("neurons", of.steps * count(of.shape, dims), NEURON)]
    if op.name == "nn.rotate":
        return _rotation(op, dims)
    return _reading(op, dims)


def _reading(op: Op, dims: Dims) -> list[Part]:
    """One multiply-add for each membrane cell at read-out; the zero point's share is taken off each."""
    if op.name == "spike.sum":
        return [Part("sums of counts", count(op.operands[0].type.shape, dims), INT32_ADD)]
    of = op.operands[0].type if op.operands else None
    if not isinstance(of, Membrane):
        return []
    cells = count(of.shape, dims) * of.planes
    if op.name == "spike.center":
        return [Part("zero points", cells, INT32_MUL + INT32_ADD)]
    if op.name == "spike.read_matmul":
        return [Part("read-out of attention", cells * (len(op.operands) - 1), FP32_MUL)]
    # With minima, a second product of the sums of counts.
    return [Part("read-out", cells * (len(op.operands) - 1), FP32_MAC)] if op.name == "spike.read_out" else []


def _rotation(op: Op, dims: Dims) -> list[Part]:
    """Butterflies of the Hadamard part, in float; products with the small factor, whose size is width / hadamard."""
    size, width = int(op.attrs["hadamard"]), op.operands[0].type.shape[-1]
    elements = count(op.operands[0].type.shape, dims)
    small = int(width) // size if op.weights else 0
    return [
        Part("online rotations, additions", elements * (size.bit_length() - 1), FP32_ADD),
        Part("online rotations, small factors", elements * small, FP32_MAC),
    ]
