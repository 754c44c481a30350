"""A runner of an uncompiled model: the captured program in floats, by the reference interpreter."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...backends.interface import Floats, Ids, Stats
from ...ir import Program, Store
from ...ir.interpreter import Interpreter, RunState


class SourceRunner:
    """As ReferenceRunner, but counts no spikes."""

    def __init__(self, program: Program, store: Store) -> None:
        self._interpreter = Interpreter(program, store)
        self._tokens = 0

    def new_state(self, batch: int = 1) -> RunState:
        """A state without a past, for so many sequences."""
        return self._interpreter.new_state(batch)

    def run(self, ids: Ids, state: RunState | None = None, *, mask: Ids | None = None) -> Mapping[str, Floats]:
        """As Runner.run."""
        inputs = {"ids": torch.from_numpy(ids)}
        if mask is not None:
            inputs["mask"] = torch.from_numpy(mask)
        outputs = self._interpreter.run(inputs, state)
        self._tokens += ids.size
        return {name: value.numpy() for name, value in outputs.items()}

    def stats(self) -> Stats:
        """The tokens alone."""
        return Stats(self._tokens)
