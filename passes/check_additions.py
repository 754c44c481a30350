"""check-additions: a program of LIF neurons multiplies no floats between its encoders and its head."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Current, Op, Program, Train
from .base import Context, Pass, PassError
from .graph import heads

# What may stand before a neuron: tables, sums of floats, and what only moves them.
ADDS = ("nn.embed", "nn.add", "nn.bias", "nn.reshape", "nn.permute", "nn.slice", "nn.concat", "state.append")
NORMS = ("nn.layer_norm", "nn.rms_norm")


@dataclass(frozen=True)
class CheckAdditions(Pass):
    """Refuses what multiplies floats between embedding and head; changes nothing, and notes what stays float.

    Before the last neuron there may be tables, sums of floats and `lif.*` ops, so every linear there reads binary
    spikes and only adds; means are over a power of two of steps, which is a shift. After it: one norm and the head.
    """

    name = "check-additions"
    exact = True

    def apply(self, program: Program, ctx: Context) -> Program:
        if not any(op.name == "lif.fire" for op in program.ops):
            raise PassError("the program has no LIF neurons; `sdllm-compile distill` makes a model that has")
        before = _before_neurons(program)
        head = heads(program)
        for op in program.ops:
            if op.result.name in before or op.name.startswith("lif."):
                self._inner(op)
            elif op.name not in (*ADDS, *NORMS) and op.result.name not in head:
                raise PassError(f"{op.loc.module or op.name}: {op.name} stands after the last neuron, and is no head")
            self._note(program, ctx, op, op.result.name in head)
        return program

    def _inner(self, op: Op) -> None:
        where = op.loc.module or op.name
        if op.name == "lif.mean":
            of = op.operands[0].type
            assert isinstance(of, Train | Current)
            if of.steps & (of.steps - 1):
                raise PassError(f"{where}: a mean over {of.steps} steps divides; make them a power of two")
        elif not op.name.startswith("lif.") and op.name not in ADDS:
            raise PassError(f"{where}: {op.name} is float arithmetic before a neuron")

    def _note(self, program: Program, ctx: Context, op: Op, head: bool) -> None:
        if op.name == "lif.linear":
            ctx.note(op.loc.module, "reads binary spikes: adds columns of fixed-point weights, no product")
        elif op.name in ("lif.coincide", "lif.gather"):
            what = "Q·Kᵀ" if op.name == "lif.coincide" else "A·V"
            ctx.note(op.loc.module, f"{what} counts coincidences of binary spikes: integers, read by neurons alone")
        elif op.name == "nn.add":
            ctx.note(op.loc.module, "residual sum: float, not binary; added only, and read by neurons")
        elif op.name == "nn.embed":
            ctx.note(op.loc.module, "embedding: a float table, looked up")
        elif op.name in NORMS:
            ctx.note(op.loc.module, "norm before the head: float")
        elif head:
            ctx.note(op.loc.module, "head: float multiply-adds")


def _before_neurons(program: Program) -> set[str]:
    """Result names of ops that some neuron depends on."""
    makers = program.producers()
    found: set[str] = set()
    waiting = [o.name for op in program.ops if op.name == "lif.fire" for o in op.operands]
    while waiting:
        op = makers.get(waiting.pop())
        if op is not None and op.result.name not in found:
            found.update(r.name for r in op.results)
            waiting += [o.name for o in op.operands]
    return found
