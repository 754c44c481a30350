"""allocate-steps: Optimal Brain Spiking. Salient channels are found and set apart, so that they may get more steps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from ..ir import Op, Program, Rewriter, Tensor, Value
from ..ir.ops.dense import front_order
from .base import Context, Pass, PassError
from .graph import body_linears, new_floats

Scores = dict[str, torch.Tensor]


@dataclass(frozen=True)
class AllocateSteps(Pass):
    """The top `share` of each linear layer's input channels, by saliency, move to the front of the last axis.

    The columns of the matrices move with them, so outputs stay the same: insert-encoders{salient=CODE} then gives those
    channels a code with more steps. method obs takes SpikeLLM's saliency, the mean over tokens of (X·WᵀW)∘X, summed
    over the matrices that share the input; magnitude the mean of X∘X, without the matrices; random none, seeded, as a
    control. attention=true sets channels of K and V apart as well, the same ones in every head of a layer, by
    (K·QᵀQ)∘K and (PᵀP·V)∘V. `multiple` rounds the salient inputs of a linear layer to whole multiples, for weights
    that spike (quantize-weights{salient_code=CODE}) and have a scale for each group. Run it before quantize-weights,
    and after rotate.
    """

    name = "allocate-steps"
    exact = True
    method: str = "obs"
    share: float = 0.1
    attention: bool = True
    multiple: int = 1
    seed: int = 0

    def apply(self, program: Program, ctx: Context) -> Program:
        if self.method not in ("obs", "magnitude", "random"):
            raise PassError(f"method={self.method} is none of obs, magnitude, random")
        if not 0.0 < self.share < 1.0:
            raise PassError(f"share={self.share}: must be more than 0 and less than 1")
        if self.multiple < 1:
            raise PassError(f"multiple={self.multiple}: must be at least 1")
        if any(op.name in ("nn.set_apart", "spike.encode") for op in program.ops):
            raise PassError("channels are set apart once, before encoders are inserted")
        linears = body_linears(program)
        if not linears:
            raise PassError("there is no linear layer but the head")
        cached = _cached_attention(program) if self.attention else []
        if self.method == "random":
            scores = self._drawn([op.operands[0] for op in linears] + [v for op in cached for v in op.operands[1:3]])
        else:
            scores = _measured(program, ctx, linears, cached, matrices=self.method == "obs")
        inputs = {op.operands[0].name for op in linears}
        chosen = {name: self._top(s, self.multiple if name in inputs else 1) for name, s in scores.items()}
        return self._rewritten(program, ctx, linears, cached, chosen)

    def _drawn(self, values: list[Value]) -> Scores:
        """Scores that depend on the seed and a value's place in the program alone."""
        found: Scores = {}
        for value in values:
            width = value.type.shape[-1]
            assert isinstance(width, int)
            key = int.from_bytes(hashlib.sha256(f"{self.seed} {len(found)}".encode()).digest()[:8], "little")
            found.setdefault(value.name, torch.from_numpy(np.random.default_rng(key).random(width)))
        return found

    def _top(self, scores: torch.Tensor, multiple: int) -> tuple[int, ...]:
        """The channels of the highest scores, in order of channel."""
        count = max(1, round(self.share * len(scores) / multiple)) * multiple
        return tuple(sorted(scores.argsort(descending=True, stable=True)[:count].tolist()))

    def _rewritten(
        self, program: Program, ctx: Context, linears: list[Op], cached: list[Op], channels: dict[str, tuple[int, ...]]
    ) -> Program:
        rewriter = Rewriter(program)
        body, attends = {op.result.name for op in linears}, {op.result.name for op in cached}
        owner = {v.name: op for op in cached for v in op.operands[1:3]}
        moved: dict[str, Value] = {}

        def apart(value: Value, chosen: tuple[int, ...], op: Op, back: bool = False) -> Value:
            now = rewriter.now(value)
            return rewriter.one("nn.set_apart", now, loc=op.loc, channels=chosen, back=back)

        for op in program.ops:
            if op.result.name in body:
                source = op.operands[0]
                if source.name not in moved:
                    moved[source.name] = apart(source, channels[source.name], op)
                    ctx.note(op.loc.module, f"{len(channels[source.name])} channels set apart")
                matrix = ctx.store.floats(program.weights[op.weights[0]])
                order = front_order(channels[source.name], matrix.shape[1])
                named = new_floats(rewriter, ctx, op, 0, np.ascontiguousarray(matrix[:, order]))
                made = rewriter.one("nn.linear", moved[source.name], weights=named.weights, loc=op.loc)
                rewriter.replace(op.result, made)
            elif op.result.name in owner:  # state.append of keys or of values
                new = apart(op.operands[0], channels[op.result.name], owner[op.result.name])
                (made,) = rewriter.op("state.append", new, state=op.state, loc=op.loc, **op.attrs)
                rewriter.replace(op.result, made)
            elif op.result.name in attends:
                q, k, v, mask = op.operands
                turned = apart(q, channels[k.name], op)
                rest = (rewriter.now(x) for x in (k, v, mask))
                mixed = rewriter.one("nn.attend", turned, *rest, loc=op.loc, **op.attrs)
                back = rewriter.one("nn.set_apart", mixed, loc=op.loc, channels=channels[v.name], back=True)
                rewriter.replace(op.result, back)
            else:
                rewriter.keep(op)
        return rewriter.done()


def _cached_attention(program: Program) -> list[Op]:
    """Attention over cached floats which nothing else reads."""
    makers, users = program.producers(), program.users()

    def own(value: Value) -> bool:
        maker = makers.get(value.name)
        cached = maker is not None and maker.name == "state.append" and isinstance(value.type, Tensor)
        return cached and len(users[value.name]) == 1

    attends = [op for op in program.ops if op.name == "nn.attend" and all(own(v) for v in op.operands[1:3])]
    return [op for op in attends if op.operands[1] != op.operands[2]]


def _measured(program: Program, ctx: Context, linears: list[Op], cached: list[Op], *, matrices: bool) -> Scores:
    """Saliency of each channel, summed over calibration tokens, by the value's name: float64 [d].

    Only sums are kept. y = X·Wᵀ is the linear's own output, so (X·WᵀW)∘X needs one more product, by W.
    """
    body, attends = {op.result.name for op in linears}, {op.result.name for op in cached}
    weights = {op.result.name: torch.from_numpy(ctx.store.floats(program.weights[op.weights[0]])) for op in linears}
    found: Scores = {}

    def add(name: str, scores: torch.Tensor) -> None:
        found[name] = found[name] + scores.double() if name in found else scores.double()

    def watch(op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        if op.result.name in body:
            x = operands[0].reshape(-1, operands[0].shape[-1])
            w = weights[op.result.name]
            add(op.operands[0].name, (((x @ w.T) @ w if matrices else x) * x).sum(0))
        elif op.result.name in attends:
            q, k, v, _ = operands
            if matrices:
                shared = q.shape[1] // k.shape[1]
                keys = k.repeat_interleave(shared, 1)
                of_keys = ((q.mT @ q) * (keys.mT @ keys)).sum((0, 1, 2))
                # Σ over tokens of (PᵀP·V)∘V is ‖P·v‖² of each channel: the energy of what attention gives.
                of_values = results[0].square().sum((0, 1, 2))
            else:
                of_keys, of_values = (part.square().sum((0, 1, 2)) for part in (k, v))
            add(op.operands[1].name, of_keys)
            add(op.operands[2].name, of_values)

    ctx.observe(program, watch)
    return found
