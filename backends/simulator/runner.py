"""An emitted model as a Runner."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from ..interface import Floats, Ids, SpikeCount, Stats
from .run import load_package

_NUMBER = count()


class SimulatorRunner:
    """Runs the program of a folder, imported under a name of its own so that several live side by side."""

    def __init__(self, folder: Path) -> None:
        self.model = load_package(folder.resolve(), f"sdllm_simulator_{next(_NUMBER)}").Model()

    def new_state(self, batch: int = 1) -> Any:
        """A state without a past, for so many sequences."""
        return self.model.new_state(batch)

    def run(self, ids: Ids, state: Any = None, *, mask: Ids | None = None) -> Mapping[str, Floats]:
        """As Runner.run."""
        outputs: Mapping[str, Floats] = self.model.run(ids, state, mask)
        return outputs

    def stats(self) -> Stats:
        """As Runner.stats."""
        counts = (vars(c) for c in self.model.counts.values())
        return Stats(self.model.tokens, tuple(SpikeCount(**{**c, "steps": tuple(c["steps"])}) for c in counts))
