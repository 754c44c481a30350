"""The suite finds what is wrong: backends that compute, count, refuse or write as they should not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sdllm.backends.conformance import suite
from sdllm.backends.conformance.bench import Bench
from sdllm.backends.conformance.families import FAMILIES
from sdllm.backends.interface import Stats
from sdllm.backends.simulator import SimulatorBackend
from sdllm.ir import Program, Store

LLAMA = FAMILIES[1]


def tell(section: str, row: str) -> dict[str, Any]:
    return {"section": section, "row": row}


class Runner:
    """A simulator whose outputs and stats go through functions."""

    def __init__(self, runner: Any, change: Callable[..., Any], recount: Callable[[Stats], Stats]) -> None:
        self.runner, self.change, self.recount = runner, change, recount

    def new_state(self, batch: int = 1) -> Any:
        return self.runner.new_state(batch)

    def run(self, ids: Any, state: Any = None, *, mask: Any = None) -> Mapping[str, Any]:
        return {n: self.change(v, ids, state) for n, v in self.runner.run(ids, state, mask=mask).items()}

    def stats(self) -> Stats:
        return self.recount(self.runner.stats())


class Wrong(SimulatorBackend):
    """The simulator with one thing wrong."""

    def __init__(self, *, change: Any = None, recount: Any = None, reasons: Any = (), **how: bool) -> None:
        self.change = change or (lambda value, ids, state: value)
        self.recount = recount or (lambda stats: stats)
        self.reasons, self.leave, self.blind = list(reasons), how.get("leave"), how.get("blind")
        self.times = 0

    def supports(self, program: Program) -> list[str]:
        return self.reasons

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        if self.leave:
            out.mkdir(parents=True)
            (out / "half").touch()
        if self.blind:
            self.reasons = []
        made = super().emit(program, store, out, options)
        self.times += 1
        (out / "when.txt").write_text(str(self.times))
        return made

    def load(self, out: Path) -> Any:
        return Runner(super().load(out), self.change, self.recount)


def nudge(value: Any, ids: Any, state: Any) -> Any:
    return value * 1.001


def late(value: Any, ids: Any, state: Any) -> Any:
    """Wrong only with a past."""
    return value + (state is not None and state.past > ids.shape[1])


def one_off(value: Any, ids: Any, state: Any) -> Any:
    return value + 1


NO = "nn.add at probe: no"
LAW = {
    "an output": (lambda b: suite.test_op("nn.add", b, tell), {"change": nudge}),
    "an integer": (lambda b: suite.test_op("lif.mean", b, tell), {"change": nudge}),
    "a count of an encoder": (lambda b: suite.test_op("spike.encode", b, tell), {"change": one_off}),
    "a code": (lambda b: suite.test_code(suite.SIGNED[0], b, tell), {"change": nudge}),
    "a past": (lambda b: suite.test_op("state.append", b, tell), {"change": late}),
    "a model": (lambda b: suite.test_model(LLAMA, b, tell), {"change": lambda v, ids, s: v[..., ::-1]}),
    "decoding": (lambda b: suite.test_decode_follows_prefill(LLAMA, b, tell), {"change": late}),
    "a batch": (
        lambda b: suite.test_sequences_of_a_batch_do_not_meet(LLAMA, b, tell),
        {"change": lambda v, ids, s: v + len(ids)},
    ),
    "a long prompt": (
        lambda b: suite.test_length(65, b, tell),
        {"change": lambda v, ids, s: v * (ids.shape[1] < 65)},
    ),
    "spikes": (
        lambda b: suite.test_spikes_are_counted(b, tell),
        {"recount": lambda stats: Stats(stats.tokens + 1, stats.counts)},
    ),
    "bytes": (lambda b: suite.test_same_bytes(b, tell), {}),
    "an op it does not know": (lambda b: suite.test_what_is_not_known_is_refused(b, tell), {}),
    "a refusal without a name": (lambda b: suite.test_op("nn.add", b, tell), {"reasons": ["no"]}),
    "a refusal that emits": (lambda b: suite.test_op("nn.add", b, tell), {"reasons": [NO], "blind": True}),
    "a refusal that leaves files": (lambda b: suite.test_op("nn.add", b, tell), {"reasons": [NO], "leave": True}),
}


@pytest.mark.parametrize("law", LAW)
def test_it_is_found(law: str, tmp_path: Path) -> None:
    check, wrong = LAW[law]
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(Bench(Wrong(**wrong), tmp_path))


@pytest.mark.parametrize("law", LAW)
def test_the_simulator_is_not_found_wrong(law: str, tmp_path: Path) -> None:
    LAW[law][0](Bench(SimulatorBackend(), tmp_path))
