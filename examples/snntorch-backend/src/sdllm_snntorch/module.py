"""A spike program as a torch module: snnTorch's neurons fire its spikes, which are trains [T, ...] from there on.

What does not spike (norms, softmax, read-out) is done by sdllm's reference kernels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import snntorch as snn
import torch
from sdllm.backends.container import find, read_program
from sdllm.ir import FloatWeight, Spikes, planes
from sdllm.ir.interpreter import KERNELS, Call, Interpreter

# snnTorch fires where U > threshold, sdllm where U >= threshold, in whole numbers: so thresholds lie this much lower.
# Less than a 256th, the finest part of the leak, it is gone when the potential is rounded down.
BELOW = 2.0**-10


def leaky(beta: float, threshold: float) -> snn.Leaky:
    """Neurons that leak to `beta` of their potential a step (1: they integrate), exact in whole numbers."""
    return snn.Leaky(
        torch.tensor(beta, dtype=torch.float64),
        torch.tensor(threshold - BELOW, dtype=torch.float64),
        surrogate_disable=True,
        reset_mechanism="subtract",
        state_quant=torch.floor,
    )


class Encoder(torch.nn.Module):
    """A count is a charge at the first step, which neurons fire away: a spike for each unit or, where the membrane is
    doubled between steps, for each binary digit. Signed counts have a population of neurons for either sign."""

    def __init__(self, steps: int, signed: bool, doubling: bool) -> None:
        super().__init__()
        self.steps, self.signed, self.doubling = steps, signed, doubling
        self.top = 2.0 ** (steps - 1) if doubling else 1.0
        self.neurons = leaky(1.0, self.top)

    def forward(self, n: torch.Tensor) -> torch.Tensor:
        current = (torch.stack([n, -n]) if self.signed else n[None]).clamp(0).double()
        potential, train = torch.zeros_like(current), []
        for _ in range(self.steps):
            spikes, potential = self.neurons(current, potential)
            train.append(spikes[0] - spikes[1] if self.signed else spikes[0])
            current = potential - spikes * self.top if self.doubling else torch.zeros_like(potential)
        return torch.stack(train).to(torch.int8)


class Lif(torch.nn.Module):
    """Leaky neurons over the steps of a current; `beta` counts 256ths."""

    def __init__(self, beta: int, threshold: int) -> None:
        super().__init__()
        self.neurons = leaky(beta / 256, threshold)

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        potential, train = torch.zeros_like(current[0], dtype=torch.float64), []
        for step in current.double():
            spikes, potential = self.neurons(step, potential)
            train.append(spikes)
        return torch.stack(train).to(torch.int8)


def add_up(of: Any, train: torch.Tensor, product: Any) -> torch.Tensor:
    """A membrane: what each step's spikes reach is added, and doubled between steps where the code has it so."""
    membrane = product(train[0])
    for step, doublings in zip(train[1:], of.code.doublings[1:], strict=True):
        membrane = membrane * 2**doublings + product(step)
    return membrane


def linear(c: Call) -> tuple[torch.Tensor, ...]:
    (train,), weight = c.operands, c.weights[0]
    on_grid = not isinstance(weight.type, FloatWeight)
    columns = (weight.parts["integers"] if on_grid else weight.values).double()
    made = []
    for p in planes((0,), weight.type):
        part = columns[:, p.start : p.stop].T
        made.append(add_up(c.type(0), train[..., p.start : p.stop].double(), lambda s, part=part: s @ part))
    return (torch.stack(made, -2).to(torch.int32 if on_grid else torch.float32),)


def matmul(c: Call) -> tuple[torch.Tensor, ...]:
    a, train = c.operands
    train = train.repeat_interleave(a.shape[1] // train.shape[2], 2).double()
    train = train.transpose(3, 4) if c.attr("transpose") else train
    return (add_up(c.type(1), train, lambda s: a.double() @ s).to(torch.int32).unsqueeze(-2),)


def total(c: Call) -> tuple[torch.Tensor, ...]:
    train, *zero = c.operands
    n = add_up(c.type(0), train.int(), lambda s: s)
    return KERNELS["spike.sum"](replace(c, operands=(n, *zero)))


def append(c: Call) -> tuple[torch.Tensor, ...]:
    """The cache: trains lie one axis further in, as time comes first."""
    if not isinstance(c.type(0), Spikes):
        return KERNELS["state.append"](c)
    past, axis = c.state[c.op.state], c.attr("axis") % len(c.type(0).shape) + 1
    c.state[c.op.state] = torch.cat([past, c.operands[0]], axis) if past.numel() else c.operands[0]
    return (c.state[c.op.state],)


class SpikingProgram(torch.nn.Module):
    """A program with a layer of neurons for each op that fires."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.program, store = read_program(find(folder))
        own = {"spike.encode": self.encode, "lif.fire": self.lif, "state.append": append}
        own |= {"spike.linear": linear, "spike.matmul": matmul, "spike.sum": total}
        self.interpreter = Interpreter(self.program, store, kernels=own)
        self.layers = torch.nn.ModuleDict()

    def fire(self, op: str, neurons: torch.nn.Module) -> None:
        """Let these neurons fire what an op, by its result name, gives."""
        self.layers[op.replace(".", "_")] = neurons

    def layer(self, c: Call) -> torch.nn.Module:
        return self.layers[c.op.result.name.replace(".", "_")]

    def encode(self, c: Call) -> tuple[torch.Tensor, ...]:
        n, *rest = KERNELS["spike.encode"](c)
        return self.layer(c)(n), *rest

    def lif(self, c: Call) -> tuple[torch.Tensor, ...]:
        return (self.layer(c)(c.operands[0]),)

    def forward(self, ids: torch.Tensor, state: Any = None, mask: Any = None, watch: Any = None) -> dict[str, Any]:
        """Outputs by name for new tokens ids [B,S], after the past in `state`."""
        inputs = {"ids": ids} if mask is None else {"ids": ids, "mask": mask}
        return self.interpreter.run(inputs, state, watch)
