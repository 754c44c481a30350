"""NIR graphs of encoders, linear layers and neurons, and what they compute, step by step.

Time is discrete, a unit a step. A neuron that subtracts its threshold when it fires is an integrator, a threshold,
and a way back of one step's delay: NIR's own IF and LIF are reset to a fixed potential, and so are others.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def graph(width: int, out: int, nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]]) -> nir.NIRGraph:
    """A graph from input [width] to output [out]."""
    ends = {"input": nir.Input({"input": np.array([width])}), "output": nir.Output({"output": np.array([out])})}
    return nir.NIRGraph({**ends, **nodes}, edges)


def neurons(name: str, width: int, threshold: float, at: float, leak: bool = False) -> tuple[dict[str, Any], list[Any]]:
    """Neurons that fire where the potential is above `at` and then lose `threshold`; `leak`: they keep nothing."""
    one = np.ones(width)
    potential = nir.LI(tau=one, r=one, v_leak=0 * one) if leak else nir.I(r=one)
    nodes = {
        f"{name}.potential": potential,
        name: nir.Threshold(at * one),
        f"{name}.reset": nir.Scale(-threshold * one),
        f"{name}.later": nir.Delay(one),
    }
    loop = [f"{name}.potential", name, f"{name}.reset", f"{name}.later", f"{name}.potential"]
    return nodes, list(pairwise(loop))


def spiked_linear(weight: Array) -> nir.NIRGraph:
    """A ternary encoder and a linear layer [out, in]. In: x/V at the first step, then nothing. Out: y/V after the last.

    A population for each sign fires the charge away, a spike for each unit, rounded to the nearest.
    """
    out, width = weight.shape
    up, up_edges = neurons("plus", width, 1.0, 0.5)
    down, down_edges = neurons("minus", width, 1.0, 0.5)
    sign = {"turned": nir.Scale(-np.ones(width)), "turned.back": nir.Scale(-np.ones(width))}
    nodes = {**up, **down, **sign, "weight": nir.Linear(weight), "membrane": nir.I(r=np.ones(out))}
    edges = [
        ("input", "plus.potential"), ("input", "turned"), ("turned", "minus.potential"), ("plus", "weight"),
        ("minus", "turned.back"), ("turned.back", "weight"), ("weight", "membrane"), ("membrane", "output"),
    ]  # fmt: skip
    return graph(width, out, nodes, [*edges, *up_edges, *down_edges])


def fired(width: int, threshold: int, leak: bool) -> nir.NIRGraph:
    """Neurons over a current, in and out at each step."""
    nodes, edges = neurons("fire", width, threshold, threshold - 0.5, leak)
    return graph(width, width, nodes, [("input", "fire.potential"), ("fire", "output"), *edges])


def linear(weight: Array, bias: Array | None) -> nir.NIRGraph:
    """A weight [out, in], and a bias [out], at each step."""
    node = nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
    return graph(weight.shape[1], weight.shape[0], {"weight": node}, [("input", "weight"), ("weight", "output")])


def play(made: nir.NIRGraph, currents: list[Array]) -> list[Array]:
    """What a graph gives at each step for inputs [..., in] at each step: the graph's own definitions, dt = 1."""
    kept: dict[str, Any] = {}
    return [_step(made, current, kept) for current in currents]


def _step(made: nir.NIRGraph, current: Array, kept: dict[str, Any]) -> Array:
    now: dict[str, Any] = {}

    def given(name: str) -> Any:
        return sum(value(a) for a, b in made.edges if b == name)

    def value(name: str) -> Any:
        if name not in now:
            now[name] = compute(name, made.nodes[name])
        return now[name]

    def compute(name: str, node: nir.NIRNode) -> Any:
        if isinstance(node, nir.Delay):
            return kept.get(name, 0.0)
        x = current if isinstance(node, nir.Input) else given(name)
        if isinstance(node, nir.I):
            kept[name] = kept.get(name, 0.0) + node.r * x
        elif isinstance(node, nir.LI):
            kept[name] = kept.get(name, 0.0) + (node.v_leak - kept.get(name, 0.0) + node.r * x) / node.tau
        elif isinstance(node, nir.Threshold):
            return (x > node.threshold).astype(np.float64)
        elif isinstance(node, nir.Scale):
            return x * node.scale
        elif isinstance(node, nir.Linear | nir.Affine):
            return x @ node.weight.T + getattr(node, "bias", 0.0)
        else:
            return x  # input and output
        return kept[name]

    out = value("output")
    kept.update({name: given(name) for name, node in made.nodes.items() if isinstance(node, nir.Delay)})
    return np.asarray(out)
