"""Which keys and values are kept as float16."""

from __future__ import annotations

from ...ir import Program, Tensor


def halves(program: Program) -> set[str]:
    """Results of state.append that are floats and that nn.attend alone reads, keys and values both being so."""
    users = program.users()
    outputs = {v.name for v in program.outputs.values()}
    found = {
        op.result.name
        for op in program.ops
        if op.name == "state.append"
        and isinstance(op.result.type, Tensor)
        and op.result.type.dtype == "f32"
        and op.result.name not in outputs
        and all(reader.name == "nn.attend" for reader in users[op.result.name])
    }
    while True:
        kept = {n for n in found if all({o.name for o in r.operands[1:3]} <= found for r in users[n])}
        if kept == found:
            return found
        found = kept
