"""A spiked program without its spikes: what sensitivities are measured on."""

from __future__ import annotations

from ..ir import CSD, Code, Op, Program, Rewriter, Value
from .graph import recode_states

# Products of the two, summed over some 700 keys, still fit a membrane of 32 bits.
_FINE, _FINE_BITS = CSD(11), 11
_MARK = "nn.scale"  # by 1: changes nothing, and shows where an encoder stood


def unspiked(program: Program) -> tuple[Program, dict[str, str]]:
    """The program with linear layers in floats again, on the weights as they are quantised.

    Attention's counts become so fine that none of what they lose is left: coarse ones flip at any small change, and
    would hide what a change does. Gives the program and, for each encoder of a linear layer by its first result's name,
    the value of the new program that stands for its input: what those linears, and nothing else, read.
    """
    users = program.users()
    made: dict[str, str] = {}
    rewriter = Rewriter(program)
    fine = {op.result.name: _FINE for op in program.ops if op.name == "spike.encode" and _in_attention(program, op)}
    recode_states(rewriter, fine)
    inputs: dict[str, Value] = {}  # of each membrane or count: what was encoded
    for op in program.ops:
        if op.result.name in fine:
            rewriter.keep(op, code=_FINE, levels=0, price=0.0)
        elif op.name == "int.encode":
            rewriter.keep(op, bits=_FINE_BITS)
        elif op.name == "spike.encode" and any(u.name == "spike.linear" for u in users[op.result.name]):
            marked = rewriter.one(_MARK, rewriter.now(op.operands[0]), loc=op.loc, by=1.0)
            made[op.result.name] = marked.name
            inputs[op.result.name] = marked
        elif op.name in ("spike.linear", "spike.center") and op.operands[0].name in inputs:
            inputs[op.result.name] = inputs[op.operands[0].name]
        elif op.name == "spike.read_out":
            x = inputs[op.operands[0].name]
            rewriter.replace(op.result, rewriter.one("nn.linear", x, weights=op.weights, loc=op.loc))
        elif op.name != "spike.sum":
            rewriter.keep(op)
    return rewriter.done(), made


def _in_attention(program: Program, op: Op) -> bool:
    """Whether an encoder's counts are cached, or meet integers: those of a signed code on the symmetric grid."""
    signed = isinstance(op.attrs["code"], Code) and op.attrs["code"].lo < 0 and op.attrs["grid"] == "symmetric"
    return signed and all(u.name != "spike.linear" for u in program.users()[op.result.name])
