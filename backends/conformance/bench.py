"""A backend on the bench: what it refuses, what it emits, how that runs, and how the reference runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ...ir import Program, Store
from ..container import program_hash, write_program
from ..interface import Backend, Runner, Stats
from ..reference import ReferenceRunner

Array = NDArray[Any]
Outputs = Mapping[str, Array]
Call = tuple[Array, Array | None]  # ids, and a mask or none


@dataclass
class Bench:
    """Emits each program once. `folder` is where; `in_time`: the reference goes through every time step."""

    backend: Backend
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    in_time: bool = False
    _emitted: dict[str, Path] = field(default_factory=dict)

    def refusal(self, program: Program, store: Store) -> str:
        """Why the backend refuses the program, or nothing if it takes it.

        A refusal must name an op of the program and its module, and `emit` must refuse too.
        """
        reasons = self.backend.supports(program)
        for reason in reasons:
            assert any(op.name in reason and op.loc.module in reason for op in program.ops), (
                f"the refusal '{reason}' names no op of the program with its module"
            )
        if reasons:
            out = self.folder / "refused"
            with pytest.raises(Exception, match=re.escape(reasons[0])):
                self.backend.emit(program, store, out, self.options)
            assert not list(out.rglob("*")), "emit() wrote files of a program that it refused"
        return "; ".join(reasons)

    def emit(self, program: Program, store: Store, number: int = 0) -> Path:
        """The emitted folder: number 0 beside program and weights, as in a compiled folder; others by themselves."""
        key = f"{program_hash(program)[:16]}-{number}"
        if key not in self._emitted:
            around = self.folder / key
            if not number:
                write_program(around, program, store)
            self._emitted[key] = around / self.backend.name
            self.backend.emit(program, store, self._emitted[key], self.options)
        return self._emitted[key]

    def load(self, program: Program, store: Store, number: int = 0) -> Runner:
        """A new runner."""
        return self.backend.load(self.emit(program, store, number))

    def reference(self, program: Program, store: Store) -> Runner:
        """The reference interpreter."""
        return ReferenceRunner(program, store, in_time=self.in_time)


def play(runner: Runner, calls: Sequence[Call], batch: int) -> list[Outputs]:
    """Several calls on one past."""
    state = runner.new_state(batch)
    return [dict(runner.run(ids, state, mask=mask)) for ids, mask in calls]


def assert_agrees(got: Outputs, want: Outputs) -> None:
    """As each output says by its name: exact, close, or ties (one count off, rarely)."""
    assert got.keys() == want.keys()
    for name, expected in want.items():
        made = np.asarray(got[name])
        assert (made.dtype, made.shape) == (expected.dtype, expected.shape), name
        if name.startswith("exact"):
            np.testing.assert_array_equal(made, expected, err_msg=name)
        elif name.startswith("ties"):
            off = np.abs(made - expected)
            assert off.max() <= 1, f"{name}: counts differ by {off.max():.0f}"
            assert (off > 0).mean() <= 0.01, f"{name}: many counts differ, not only those near a tie"
        else:
            size = float(np.abs(expected).max(initial=0.0))
            np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-6 * max(1.0, size), err_msg=name)


FAR = 0.02


def assert_follows(got: Outputs, want: Outputs, real: Array | None = None) -> None:
    """Whole models, where counts near a rounding tie may fall differently: mean difference at most 2 % of mean size.

    A wrong program is as far off as another model. `real` bool[B,S] picks the tokens that are compared.
    """
    assert got.keys() == want.keys()
    for name, expected in want.items():
        made = np.asarray(got[name])
        assert made.shape == expected.shape, name
        assert np.isfinite(made).all(), name
        if real is not None and made.ndim == 3:
            made, expected = made[real], expected[real]
        off = float(np.abs(made - expected).mean() / np.abs(expected).mean())
        assert off <= FAR, f"{name}: {off:.1%} from the reference"


def assert_counts(got: Stats, want: Stats, within: float = 0.0) -> bool:
    """Spikes as the rules of counting have them; False if the backend counts none."""
    if not got.counts:
        return not want.counts
    assert got.tokens == want.tokens
    assert [c.op for c in got.counts] == [c.op for c in want.counts]
    for made, expected in zip(got.counts, want.counts, strict=True):
        if not within:
            assert made == expected
        assert (made.module, made.code, made.values) == (expected.module, expected.code, expected.values)
        assert abs(made.spikes - expected.spikes) <= within * expected.spikes, made.module
    return True


def files(folder: Path) -> dict[str, bytes]:
    """Every file of an emitted folder."""
    found = sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def short(reason: str, name: str = "") -> str:
    """The first of some reasons, or the first that names an op, without its module path: alike ones are then alike."""
    reasons = reason.split("; ")
    first = next((r for r in reasons if name and name in r), reasons[0])
    return re.sub(r" at [^:]*:", ":", first)


__all__ = [
    "Bench", "Call", "Outputs", "assert_agrees", "assert_counts", "assert_follows", "files", "play", "short",
]  # fmt: skip
