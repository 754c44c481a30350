"""Blocks of a student: a spiking fully connected layer, softmax-free attention, feed-forward."""

from __future__ import annotations

import torch
from torch import nn

from . import neurons
from .config import BiSpikCLMConfig

Tensor = torch.Tensor

GAIN = 1.5  # spread of a fresh layer's currents: with a fifth of its inputs firing, about one in five neurons fires


class Encoder(nn.Module):
    """Neurons that read the residual: f32[B,S,d] to a train [T,B,S,d]. From here on linears only add."""

    def __init__(self, config: BiSpikCLMConfig) -> None:
        super().__init__()
        self.how = (config.time_steps, config.frac, config.beta, config.threshold)

    def forward(self, x: Tensor) -> Tensor:
        return neurons.encode(x, *self.how)


# What fresh biases of queries and keys are where heads have spans: all fire, so every head passes its values on, and
# training closes what does not help. Closed from the start, it would have nothing to learn from.
OPEN = 1.0
# How much of GAIN a fresh layer has whose current goes straight into the residual: a block begins by changing little.
QUIET = 0.1


class FC(nn.Linear):
    """SN(W x + b) over trains; without `fires` the current itself. Weights are rounded to the grid as they are used.

    `start` is what fresh biases are.
    """

    def __init__(
        self, config: BiSpikCLMConfig, width: int, out: int, *, fires: bool = True, start: float = 0.0
    ) -> None:
        super().__init__(width, out, bias=config.style == "opt")
        self.gain, self.start = GAIN * (1 if fires else QUIET), start
        self.frac, self.how, self.fires = config.frac, (config.frac, config.beta, config.threshold), fires

    def forward(self, x: Tensor) -> Tensor:
        current = neurons.linear(x, self.weight, self.bias, self.frac)
        return neurons.fire(current, *self.how) if self.fires else current


class Count(nn.Module):
    """Neurons over counts: they fire where `threshold` coincidences meet, with what is left of those before."""

    def __init__(self, config: BiSpikCLMConfig, threshold: int) -> None:
        super().__init__()
        self.how = (0, config.beta, threshold)

    def forward(self, counts: Tensor) -> Tensor:
        return neurons.fire(counts, *self.how)


class SFSA(nn.Module):
    """Softmax-free spiking attention: A_int = (Q·Kᵀ) ∘ M, A = SN(A_int), out = SN(Linear(SN(A·V))).

    The neuron on A·V is ours: the paper's Linear(A·V) reads integers, so would have to multiply.
    """

    def __init__(self, config: BiSpikCLMConfig) -> None:
        super().__init__()
        d, shared = config.hidden_size, config.num_key_value_heads
        assert shared is not None
        self.heads, self.shared = config.num_attention_heads, shared
        width = d // self.heads
        self.reach = config.reach
        self.encoder = Encoder(config)
        start = OPEN if config.spans else 0.0
        self.q_proj = FC(config, d, d, start=start)
        self.k_proj = FC(config, d, width * shared, start=start)
        self.v_proj = FC(config, d, width * shared)
        self.scores = Count(config, config.score_threshold)
        self.values = Count(config, config.value_threshold)
        self.o_proj = FC(config, d, d, fires=config.block_output == "spikes")

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What to add to x f32[B,S,d], the trains of the encoder and of A [T,B,H,S,S]."""
        s = self.encoder(x)
        q = neurons.split(self.q_proj(s), self.heads)
        k, v = (neurons.split(part(s), self.shared) for part in (self.k_proj, self.v_proj))
        a = self.scores(neurons.coincide(q, k, mask, *self.reach))
        mixed = neurons.join(self.values(neurons.gather(a, v)))
        return neurons.mean(self.o_proj(mixed)), s, a


class SFFN(nn.Module):
    """FC2(FC1(x)); in llama style FC2(FC1(x) AND gate(x))."""

    def __init__(self, config: BiSpikCLMConfig) -> None:
        super().__init__()
        d, inner = config.hidden_size, config.intermediate_size
        self.encoder = Encoder(config)
        self.fc1 = FC(config, d, inner)
        self.gate = FC(config, d, inner) if config.style == "llama" else None
        self.fc2 = FC(config, inner, d, fires=config.block_output == "spikes")

    def forward(self, x: Tensor) -> Tensor:
        """What to add to x f32[B,S,d]."""
        s = self.encoder(x)
        h = self.fc1(s)
        if self.gate is not None:
            h = neurons.both(h, self.gate(s))
        return neurons.mean(self.fc2(h))


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual."""

    def __init__(self, config: BiSpikCLMConfig) -> None:
        super().__init__()
        self.attention = SFSA(config)
        self.feed_forward = SFFN(config)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The new residual, the trains of the attention's encoder and of A."""
        more, s, a = self.attention(x, mask)
        x = x + more
        return x + self.feed_forward(x), s, a
