"""Training speed of LIF neurons: ours, and those of snnTorch and SpikingJelly where they are installed.

    python benchmarks/neurons.py [--steps T]

Forward and backward over currents f32[T, 8, 128, 128] on one thread, the best of 20; the same leak, threshold,
surrogate and reset by subtraction wherever a library has them.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import torch
from sdllm.compiler.bispikclm import neurons

SHAPE, BETA, THRESHOLD = (8, 128, 128), 230, 2867
Fire = Callable[[torch.Tensor], torch.Tensor]


def ours(current: torch.Tensor) -> torch.Tensor:
    return neurons.fire(current, 12, BETA, THRESHOLD)


def snntorch() -> Fire:
    import snntorch as snn
    from snntorch import surrogate

    leaky = snn.Leaky(beta=BETA / 256, threshold=THRESHOLD / 4096, spike_grad=surrogate.atan(alpha=2.0))

    def fire(current: torch.Tensor) -> torch.Tensor:
        potential, spikes = torch.zeros(SHAPE), []
        for step in current:
            spike, potential = leaky(step, potential)
            spikes.append(spike)
        return torch.stack(spikes)

    return fire


def spikingjelly() -> Fire:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=2.0,  # it leaks by 1/tau of the potential, which 0.9 has no counterpart in
        v_threshold=THRESHOLD / 4096,
        v_reset=None,
        decay_input=False,
        surrogate_function=surrogate.ATan(2.0),
        detach_reset=True,
        step_mode="m",
    )

    def fire(current: torch.Tensor) -> torch.Tensor:
        functional.reset_net(node)
        spikes: torch.Tensor = node(current)
        return spikes

    return fire


def best(fire: Fire, steps: int) -> float:
    """Seconds of a forward and backward pass."""
    current = torch.round(torch.randn(steps, *SHAPE) * 2048) / 4096
    found = []
    for _ in range(20):
        given = current.clone().requires_grad_()
        began = time.perf_counter()
        fire(given).sum().backward()
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"| neurons | ms, T = {steps} |\n|---|---|\n| ours, int32 | {best(ours, steps) * 1e3:.1f} |")
    for name, make in (("snnTorch", snntorch), ("SpikingJelly", spikingjelly)):
        if importlib.util.find_spec(name.lower()) is None:
            print(f"| {name} | not installed |")
        else:
            print(f"| {name} | {best(make(), steps) * 1e3:.1f} |")


if __name__ == "__main__":
    main()
