"""OmniQuant: clipping of weights, and channel scales between layers, learned block by block (Shao et al., 2308.13137).

A block's quantised output is drawn to what the float block gives for the float input, by gradients through rounding.
Two blocks' activations are held, whatever the depth: inputs of the float and of the quantised block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..ir import FloatWeight, GridWeight, Op, Program, print_program
from ..ir.interpreter import Interpreter
from ..ir.interpreter.kernel import WeightData
from .base import Context, PassError
from .blocks import Block, blocks, run_ops
from .equivalent import Scale, balances, sources
from .grids import Parts, on_grid
from .straight import clipped, counted, signed

T = torch.Tensor
_START = 4.0  # sigmoid(4) = 0.982 of the range: almost unclipped, as published
_BATCH = 1  # sequences a step, as published


@dataclass(frozen=True)
class Learning:
    """How to learn: passes over `sequences` calibration sequences, learning rates, and bits of activations (0: float)
    for usual channels and for those set apart, and of keys and values. `alpha` weighs activations against weights
    where scales start."""

    epochs: int
    sequences: int
    lwc_lr: float
    let_lr: float
    alpha: float
    activations: int
    salient: int
    attention: int


PRESETS = {"published": (20, 128), "hour": (15, 32), "tiny": (2, 4)}


@dataclass
class Learned:
    """What came out: parts of each matrix by its linear's result, new biases, and new gains of norms by theirs."""

    parts: dict[str, Parts]
    biases: dict[str, np.ndarray]
    gains: dict[str, np.ndarray]


def omniquant(program: Program, ctx: Context, grids: Mapping[str, GridWeight], how: Learning) -> Learned:
    """Learn the grids of the float linears whose results these name. Raises PassError where the program is no chain of
    blocks.
    """
    before, chain = blocks(program)
    outside = set(grids) - {op.result.name for block in chain for op in block.ops}
    if outside:
        op = next(op for op in program.ops if op.result.name in outside)
        raise PassError(f"method=omniquant: {op.loc.module} is in no block that hands on one value; take gptq")
    tokens = ctx.tokens()[: how.sequences]
    batches = [torch.from_numpy(tokens[i : i + _BATCH]) for i in range(0, len(tokens), _BATCH)]
    interpreter = Interpreter(program, ctx.store)
    told = hashlib.sha256(f"{print_program(program)} {grids} {how}".encode() + tokens.tobytes())
    runs = [_Run(interpreter, ids) for ids in batches]
    for run in runs:
        values = run_ops(before, run.inputs(), interpreter.weight, run.state())
        run.exact = run.quantised = values[chain[0].enters].detach()
    found = Learned({}, {}, {})
    for index, block in enumerate(chain):
        ctx.progress(index, len(chain), "blocks learned")
        learner = _Learner(program, interpreter, block, grids, how, runs)
        learner.load_or_learn(ctx.keep / f"omniquant-{told.hexdigest()[:16]}-{index}.npz" if ctx.keep else None)
        ctx.note(block.ops[-1].loc.module, f"block {index}: relative error {learner.start:.4f} -> {learner.end:.4f}")
        learner.conclude(found)
    return found


class _Run:
    """A batch of calibration tokens on its way through the blocks."""

    def __init__(self, interpreter: Interpreter, ids: T) -> None:
        self._interpreter, self._ids = interpreter, ids
        self.exact = self.quantised = torch.zeros(0)

    def inputs(self) -> dict[str, T]:
        state = self._interpreter.new_state(len(self._ids))
        return self._interpreter.bind({"ids": self._ids}, state)

    def state(self) -> dict[str, T]:
        return dict(self._interpreter.new_state(len(self._ids)).arrays)


class _Learner:
    """One block: its parameters, how they are learned, and what they come to."""

    def __init__(
        self,
        program: Program,
        interpreter: Interpreter,
        block: Block,
        grids: Mapping[str, GridWeight],
        how: Learning,
        runs: list[_Run],
    ) -> None:
        self.block, self.how, self.runs = block, how, runs
        self.interpreter, self.program = interpreter, program
        self.linears = [op for op in block.ops if op.result.name in grids]
        self.matrices = {op.result.name: interpreter.weight(op.weights[0]).values for op in self.linears}
        self.grids = {name: grids[name] for name in self.matrices}
        moved = [op for op in block.ops if op.name == "nn.set_apart" and not op.attrs["back"]]
        self.apart = {op.result.name: len(op.attrs["channels"]) for op in moved}
        self.clips: dict[str, list[T]] = {}
        for name, of in self.grids.items():
            shape = (of.shape[0], of.groups)
            self.clips[name] = [torch.full(shape, _START) for _ in range(2 if of.minimum else 1)]
        self.scales = self._scales() if how.activations else {}
        self.balances = balances(program, block, self.linears) if how.attention else []
        self.start = self.end = 0.0

    # ---- scales between layers ----

    def _scales(self) -> dict[str, Scale]:
        found = {}
        for name, (source, order) in sources(self.program, self.block, self.linears).items():
            places = torch.tensor(order)
            found[name] = Scale(source, places, self._first_scale(name, places))
        return found

    def _readers(self, name: str) -> list[Op]:
        return [op for op in self.linears if op.operands[0].name == name]

    def _first_scale(self, name: str, order: T) -> T:
        """log of max|x|^α / max|W|^(1-α) of each channel of the source, with a geometric mean of 1: SmoothQuant's."""
        tops: list[T] = []

        def enter(op: Op, x: T) -> T:
            if op.operands[0].name == name:
                tops.append(x.detach().abs().flatten(0, -2).amax(0))
            return x

        with torch.no_grad():
            for run in self.runs:
                values = {**run.inputs(), self.block.enters: run.exact}
                run_ops(self.block.ops, values, self.interpreter.weight, run.state(), enter=enter)
        x = torch.stack(tops).amax(0).clamp(min=1e-5)
        w = torch.stack([self.matrices[op.result.name].abs().amax(0) for op in self._readers(name)]).amax(0)
        log = self.how.alpha * x.log() - (1 - self.how.alpha) * w.clamp(min=1e-5).log()
        whole = torch.full((int(order.max()) + 1,), -torch.inf).scatter_reduce(0, order, log, "amax")
        return whole - whole.mean()

    def _scaled(self, op: Op) -> tuple[T, T | None]:
        """Matrix and bias of a linear with the scales of its input and of what reads it."""
        w = self.matrices[op.result.name]
        bias = self.interpreter.weight(op.weights[1]).values if len(op.weights) == 2 else None
        if (scale := self.scales.get(op.operands[0].name)) is not None:
            w = w * scale.at_readers()
        for scale in self.scales.values():
            if scale.source is op:
                w = w / scale.at_source()[:, None]
                bias = None if bias is None else bias / scale.at_source()
        for balance in self.balances:
            if (factor := balance.factor(op)) is not None:
                w = w * factor[:, None]
                bias = None if bias is None else bias * factor
        return w, bias

    # ---- running the block ----

    def _forward(self, run: _Run, rounded: Mapping[str, T]) -> T:
        """The quantised block on a batch; `rounded` are its matrices."""
        matrices = {}
        for op in self.linears:
            _, bias = self._scaled(op)
            biases = () if bias is None else (bias,)
            matrices[op.result.name] = tuple(map(_data, (rounded[op.result.name], *biases)))

        def finish(op: Op, y: T) -> T:
            if op.name == "state.append" and self.how.attention:
                return self._cached(op, y)
            own = [s for s in self.scales.values() if s.source is op and op.name != "nn.linear"]
            return y / own[0].at_source() if own else y

        values = {**run.inputs(), self.block.enters: run.quantised}
        run_ops(self.block.ops, values, self.interpreter.weight, run.state(), enter=self._enter, finish=finish,
                matrices=matrices)  # fmt: skip
        return values[self.block.leaves]

    def _enter(self, op: Op, x: T) -> T:
        if not self.how.activations or op not in self.linears:
            return x
        apart = self.apart.get(op.operands[0].name, 0)
        top = 2**self.how.activations - 1
        if not apart or not self.how.salient:
            return counted(x, top)
        first, rest = x[..., :apart], x[..., apart:]
        return torch.cat((counted(first, 2**self.how.salient - 1), counted(rest, top)), -1)

    def _cached(self, op: Op, y: T) -> T:
        """Keys or values [B,H,S,D] as their spikes stand for them; channels set apart have two steps."""
        apart, top = self.apart.get(op.operands[0].name, 0), 2 ** (self.how.attention - 1) - 1
        first = [signed(y[..., :apart], 2 * top)] if apart else []
        return torch.cat((*first, signed(y[..., apart:], top)), -1)

    def _rounded(self) -> dict[str, T]:
        return {
            op.result.name: clipped(self._scaled(op)[0], self.grids[op.result.name], self.clips[op.result.name])[0]
            for op in self.linears
        }

    # ---- learning ----

    def load_or_learn(self, path: Path | None) -> None:
        """Read what was learned before, or learn it and write it."""
        parameters = [*(p for clip in self.clips.values() for p in clip), *self._logs()]
        if path is not None and path.exists():
            kept = np.load(path)
            for index, p in enumerate(parameters):
                p.copy_(torch.from_numpy(kept[str(index)]))
            self.start, self.end = (float(x) for x in kept["errors"])
            return
        targets = self._targets()
        self.start = self._error(targets)
        self._learn(targets)
        self.end = self._error(targets)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial.npz")
            kept = {str(index): p.detach().numpy() for index, p in enumerate(parameters)}
            np.savez(partial, errors=np.array([self.start, self.end]), **kept)
            partial.replace(path)

    def _logs(self) -> list[T]:
        return [*(s.log for s in self.scales.values()), *(b.log for b in self.balances)]

    def _targets(self) -> list[T]:
        with torch.no_grad():
            return [
                run_ops(
                    self.block.ops,
                    {**run.inputs(), self.block.enters: run.exact},
                    self.interpreter.weight,
                    run.state(),
                )[self.block.leaves]
                for run in self.runs
            ]

    def _error(self, targets: list[T]) -> float:
        """‖quantised - float‖² / ‖float‖² of what the block hands on."""
        with torch.no_grad():
            rounded = self._rounded()
            errors = sum(
                float((self._forward(run, rounded) - y).square().sum())
                for run, y in zip(self.runs, targets, strict=True)
            )
            return errors / sum(float(y.square().sum()) for y in targets)

    def _learn(self, targets: list[T]) -> None:
        clips = [p.requires_grad_() for clip in self.clips.values() for p in clip]
        scales = [log.requires_grad_() for log in self._logs()]
        groups = [{"params": clips, "lr": self.how.lwc_lr}]
        if scales:
            groups.append({"params": scales, "lr": self.how.let_lr})
        optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
        with torch.enable_grad():
            for _ in range(self.how.epochs):
                for run, y in zip(self.runs, targets, strict=True):
                    optimiser.zero_grad(set_to_none=True)
                    torch.autograd.backward((self._forward(run, self._rounded()) - y).square().mean())
                    optimiser.step()
        for p in (*clips, *scales):
            p.requires_grad_(False)

    def conclude(self, found: Learned) -> None:
        """Add what was learned, and hand the batches on to the next block."""
        rounded = {}
        with torch.no_grad():
            for op in self.linears:
                w, bias = self._scaled(op)
                of = self.grids[op.result.name]
                _, scale, minimum = clipped(w, of, self.clips[op.result.name])
                found.parts[op.result.name], rounded[op.result.name] = on_grid(w, of, scale, minimum)
                if bias is not None:
                    found.biases[op.result.name] = bias.numpy()
            for s in self.scales.values():
                if s.source.name != "nn.linear":
                    gain, offset = self.interpreter.weight(s.source.weights[0]).values, s.source.attrs["gain_offset"]
                    found.gains[s.source.result.name] = ((gain + offset) / s.at_source() - offset).numpy()
            for run, y in zip(self.runs, self._targets(), strict=True):
                run.quantised = self._forward(run, rounded)
                run.exact = y


def _data(x: T) -> WeightData:
    return WeightData(FloatWeight(tuple(x.shape)), {"dequantized": x})
