"""tune keeps to budgets, finds what lies at their edge, goes on after a stop, and says what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdllm.compiler.cli.tune import JOULES, quantity
from sdllm.compiler.search.tune import _close_in, frontier

Cli = Callable[..., tuple[int, str, str]]
FEW = ["--windows", "2", "--rounds", "1", "--max-steps", "12"]


@pytest.mark.parametrize(
    ("budget", "measure"),
    [
        (["--max-additions", "1.6"], "additions"),
        (["--max-energy", "1mJ"], "joules"),
        (["--max-ppl-increase", "90%"], ""),
    ],
)
def test_the_best_keeps_to_the_budget(tiny: Path, tmp_path: Path, cli: Cli, budget: list[str], measure: str) -> None:
    out = tmp_path / "out"
    code, said, error = cli("tune", tiny, "-o", out, *budget, *FEW, "--json")
    assert (code, error) == (0, "")
    told: dict[str, Any] = json.loads(said)
    best = told["best"]
    assert best["kept"]
    if measure == "additions":
        assert best["outcome"]["cost"]["additions"] <= 1.6
    elif measure == "joules":
        assert best["outcome"]["cost"]["joules"]["integers"] <= 1e-3
    else:
        assert best["ratio"] <= 1.9
        assert best["outcome"]["cost"]["additions"] == min(
            t["outcome"]["cost"]["additions"] for t in told["tried"] if t["kept"]
        )
    manifest = json.loads((out / "manifest.json").read_text())
    assert ",".join(manifest["pipeline"]).startswith("quantize-weights{group=32,rows=true},insert-encoders")


def test_a_search_goes_on_from_its_trials(
    tiny: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, more = tmp_path / "out", ["--max-additions", "1.6", *FEW]
    assert cli("tune", tiny, "-o", out, *more)[0] == 0
    monkeypatch.setattr("sdllm.compiler.search.trials.losses", None)
    code, said, _ = cli("tune", tiny, "-o", out, *more, "--force")
    assert code == 0
    assert "in budget" in said


@given(st.floats(0.3, 3.0), st.floats(0.5, 2.0))
def test_closing_in_ends_just_inside(edge: float, bend: float) -> None:
    seen: list[tuple[float, float]] = []

    def room(a: float) -> tuple[float, float]:
        seen.append((a, 1 - (a / edge) ** bend))
        return seen[-1]

    _close_in((0.2, 4.0), 12, room)
    best = max((a for a, left in seen if left >= 0), default=0.0)
    assert best >= 0.9 * edge


def test_what_is_not_spent_does_not_mislead() -> None:
    """Of 2 additions allowed 1.2 are taken: a trial between 0.6 and 1.2 finds 1.0; 0.6 and 2 would point at 1.26."""
    kept: list[float] = []

    def room(allowed: float) -> tuple[float, float]:
        taken = min(allowed, 1.2)
        kept.extend([taken] if taken <= 1.0 else [])
        return taken, 1 - taken

    _close_in((0.6, 2.0), 1, room)
    assert max(kept) >= 0.95


def test_the_frontier_has_no_trial_that_another_beats() -> None:
    from sdllm.compiler.search import Cost, Outcome
    from sdllm.compiler.search.tune import Tried

    def tried(additions: float, loss: float) -> Tried:
        cost = Cost(additions, 0, 0, 0, 0, 1, 4, 1, 0, 4, 0, 0, {})
        return Tried("f", additions, Outcome("p", (loss,), cost, 0.0, 0.0), True)

    points = [tried(1.0, 3.0), tried(0.9, 3.1), tried(1.1, 3.05), tried(0.8, 3.1)]
    assert [t.additions for t in frontier(points)] == [0.8, 1.0]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--max-additions", "0"], "--max-additions 0: must be more than 0"),
        (["--max-additions", "0.001", *FEW], "no pipeline tried keeps to additions 0.001; the nearest has"),
        (["--max-ppl-increase", "five"], "--max-ppl-increase five: give a number"),
        (["--max-energy", "3kJ"], "--max-energy 3kJ: give a number, with one of the units"),
        (["--max-additions", "1", "--max-steps", "3"], "--max-steps 3: the fewest are 12"),
        (["--max-additions", "1", "--weight-bits", "8"], "--weight-bits 8: must be 2 to 7"),
        (["--max-additions", "1", "--windows", "0"], "--windows 0: must be at least 1"),
    ],
)
def test_what_cannot_be_is_one_line(tiny: Path, tmp_path: Path, cli: Cli, more: list[str], says: str) -> None:
    code, said, error = cli("tune", tiny, "-o", tmp_path / "out", *more)
    assert code == 2, said
    assert says in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@given(st.floats(1e-3, 1e3))
def test_quantities_are_read_with_their_unit(value: float) -> None:
    assert quantity("--max-energy", f"{value!r}uJ", JOULES) == pytest.approx(value * 1e-6)
    assert quantity("--max-ppl-increase", f"{value!r}%", {"%": 0.01}) == pytest.approx(value / 100)


def test_an_existing_folder_is_left(tiny: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, _, error = cli("tune", tiny, "-o", tmp_path / "out", "--max-additions", "1")
    assert code == 2
    assert "exists already" in error
