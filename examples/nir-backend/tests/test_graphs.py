"""Graphs come back from their files as they were, compute what the program says, and the rest is named."""

import json

import nir
import numpy as np
import pytest
from sdllm.backends.conformance.families import FAMILIES, tiny_model
from sdllm.backends.mapping import read_map
from sdllm.ir import Ternary
from sdllm_nir import NirBackend, graphs
from sdllm_nir.blocks import Blocks


def same(first, second):
    assert first.nodes.keys() == second.nodes.keys()
    assert sorted(first.edges) == sorted(second.edges)
    for name, node in first.nodes.items():
        assert type(node) is type(second.nodes[name])
        for key, value in vars(node).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, getattr(second.nodes[name], key))


def test_every_graph_comes_back_as_it_was(tmp_path):
    program, store = tiny_model(FAMILIES[1])
    told = NirBackend().emit(program, store, tmp_path, {})
    blocks = Blocks(program)
    linears = [op for op in program.ops if op.name in ("spike.linear", "nn.linear")]
    assert len(told["graphs"]) == len(linears) == len(blocks.roots)
    for name in blocks.roots:
        same(nir.read(tmp_path / f"{name}.nir"), blocks.graph(name, store))


@pytest.mark.parametrize("steps", [1, 7, 15])
def test_a_population_fires_as_often_as_the_count(steps):
    """Spike for spike: the trains of the two populations are those of the ternary code."""
    charge = np.random.default_rng(0).normal(size=200) * steps
    made = graphs.spiked_linear(np.eye(200))
    kept, seen = {}, []
    for step in range(steps):
        now = graphs._step(made, charge * (step == 0), kept)
        seen.append(now.copy())
    n = np.clip(np.round(charge), -steps, steps).astype(int)
    train = np.diff(np.stack([np.zeros(200), *seen]), axis=0)
    np.testing.assert_array_equal(train, Ternary(steps).encode(n))


def test_what_cannot_be_expressed_is_said_of_every_op(tmp_path):
    program, store = tiny_model(next(f for f in FAMILIES if f.name == "llama, spiked attention"))
    told = NirBackend().emit(program, store, tmp_path, {})
    entries = read_map(tmp_path)
    assert all(e["became"].endswith(".nir") or e["became"].startswith("not expressed: ") for e in entries)
    attention = [e for e in entries if " spike.matmul " in e["ir"]]
    assert attention
    assert all("NIR has no attention" in e["became"] for e in attention)
    assert sum(told["not_expressed"].values()) == sum(e["became"].startswith("not") for e in entries)
    json.dumps(told)
