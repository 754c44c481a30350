"""Small whole decoders: logits and counts of the simulator are the reference's, more closely than conformance asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdllm.backends.interface import Backend, Runner
from sdllm.backends.reference import ReferenceBackend
from sdllm.backends.simulator import SimulatorBackend
from sdllm.ir import CSD, Binary, Bits, Program, Store

from ..toys import VOCABULARY, toy_decoder
from .common import emitted

MODELS: dict[str, dict[str, Any]] = {
    "ternary": {},
    "spiked attention": {"spiked_attention": True},
    "asymmetric with minima": {"code": Bits(4), "grid": "asymmetric", "minimum": True},
    "offset, per channel": {"code": Binary(15), "grid": "offset", "group": 99, "bits": 8},
    "eight bits signed digit": {"code": CSD(7), "bits": 8, "spiked_attention": True},
}
BACKENDS: list[Backend] = [ReferenceBackend(), SimulatorBackend()]


def ids_of(batch: int, length: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (batch, length))


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> tuple[Program, Store]:
    return toy_decoder(**MODELS[request.param])


@pytest.fixture
def pair(model: tuple[Program, Store], tmp_path: Path) -> tuple[Runner, Runner]:
    reference, simulator = (emitted(b, *model, tmp_path / b.name) for b in BACKENDS)
    return reference, simulator


def assert_close(a: Any, b: Any) -> None:
    """Equal but for the order of float additions."""
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_same_logits_and_counts_as_the_reference(pair: tuple[Runner, Runner]) -> None:
    reference, simulator = pair
    ids = ids_of(2, 6)
    states = [runner.new_state(2) for runner in pair]
    for part in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        want, got = (r.run(part, s)["logits"] for r, s in zip(pair, states, strict=True))
        assert got.shape == (*part.shape, VOCABULARY)
        assert_close(got, want)
    assert reference.stats() == simulator.stats()
    assert simulator.stats().tokens == ids.size


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
def test_a_mask_of_the_wrong_length_is_refused(backend: Backend, tmp_path: Path) -> None:
    runner = emitted(backend, *toy_decoder(1), tmp_path)
    with pytest.raises(Exception, match=r"mask has shape \(1, 2\)"):
        runner.run(ids_of(1, 3), mask=np.ones((1, 2), dtype=np.int64))


def test_two_models_live_side_by_side(tmp_path: Path) -> None:
    ids = ids_of(1, 4)
    runners = [
        emitted(SimulatorBackend(), *toy_decoder(1, seed=seed), tmp_path / str(seed) / "simulator") for seed in (0, 1)
    ]
    first, second = (r.run(ids)["logits"] for r in runners)
    assert np.abs(first - second).max() > 0.1
    assert_close(runners[0].run(ids)["logits"], first)
    assert [r.stats().tokens for r in runners] == [8, 4]
