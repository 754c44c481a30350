"""Keys and values kept as float16: rounding is exact, and outputs stay close."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.c.runner import CRunner

from ...toys import toy_decoder
from ..test_whole_models import ids_of
from .common import emit, isas


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> tuple[CRunner, CRunner]:
    """The same decoder by float32 and by float16."""
    made = toy_decoder(), tmp_path_factory.mktemp("kv")
    return CRunner(emit(*made[0], made[1] / "f32")), CRunner(emit(*made[0], made[1] / "f16", kv="f16"))


def half(runner: CRunner, values: np.ndarray) -> np.ndarray:
    """sd_half of each."""
    function = ctypes.CDLL(str(runner.library)).sd_half
    function.argtypes, function.restype = (ctypes.c_float,), ctypes.c_uint16
    return np.array([function(float(v)) for v in values], dtype=np.uint16)


def test_rounding_is_that_of_ieee(runners: tuple[CRunner, CRunner]) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    np.testing.assert_array_equal(half(runners[1], every.astype(np.float32)), every.view(np.uint16))
    positive = np.sort(every[every >= 0]).astype(np.float32)
    ties = (positive[:-1] + positive[1:]) / 2
    around = np.concatenate([ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e9)), -ties])
    bits = np.random.default_rng(0).integers(0, 0x47700000, 5000, dtype=np.uint32).view(np.float32)
    given = np.concatenate([around, bits, -bits])
    np.testing.assert_array_equal(half(runners[1], given), given.astype(np.float16).view(np.uint16))
    large = np.array([65519.99, 65520, 1e9, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(half(runners[1], large).view(np.float16), [65504] * 4 + [-65504])
    assert np.isnan(half(runners[1], np.array([np.nan])).view(np.float16)).all()


def test_outputs_are_close_and_the_cache_half_as_large(runners: tuple[CRunner, CRunner], tmp_path: Path) -> None:
    ids = ids_of(2, 12)
    whole, short = (r.run(ids)["logits"].astype(np.float64) for r in runners)
    assert np.any(whole != short)
    logs = [
        x - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(-1, keepdims=True)
        for x in (whole, short)
    ]
    assert (np.exp(logs[0]) * (logs[0] - logs[1])).sum(-1).max() < 1e-5
    likely = [np.take_along_axis(x[:, :-1], ids[:, 1:, None], -1).mean() for x in logs]
    assert abs(likely[0] - likely[1]) < 1e-3  # 0.1 % of perplexity
    program, store = toy_decoder()
    sizes = [CBackend().emit(program, store, tmp_path, {"kv": kv})["kv_bytes"] for kv in ("f32", "f16")]
    assert sizes[0] == 2 * sizes[1]


def test_every_way_gives_the_same(runners: tuple[CRunner, CRunner], tmp_path: Path) -> None:
    """Instruction sets, threads, prefill and decoding."""
    folder = emit(*toy_decoder(), tmp_path, kv="f16")
    ids = ids_of(1, 9)
    want = runners[1].run(ids)["logits"]
    for isa in isas(folder):
        for threads in (1, 3):
            runner = CRunner(folder, isa=isa, threads=threads)
            state = runner.new_state()
            got = [runner.run(part, state)["logits"] for part in (ids[:, :5], *np.split(ids[:, 5:], 4, axis=1))]
            np.testing.assert_array_equal(np.concatenate(got, axis=1), want)


def test_counts_and_what_others_read_stay_as_they_are(tmp_path: Path) -> None:
    """Spiked attention has no floats for nn.attend to read: nothing changes."""
    program, store = toy_decoder(spiked_attention=True)
    for kv in ("f32", "f16"):
        emit(program, store, tmp_path / kv, kv=kv)
    assert (tmp_path / "f32" / "model.c").read_text() == (tmp_path / "f16" / "model.c").read_text()
