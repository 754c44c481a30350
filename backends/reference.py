"""The reference backend: the program as it is, run by the interpreter in the count domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ir import IRError, Op, Program, Store
from .container import find, provide, read_program
from .counting import DRIVEN, blank_counts, count_op, total
from .interface import Floats, Ids, Runner, Stats

if TYPE_CHECKING:
    import torch

    from ..ir.interpreter import RunState


class ReferenceRunner:
    """Runs a program by the reference interpreter and counts its spikes; `in_time`: through every time step."""

    def __init__(self, program: Program, store: Store, *, in_time: bool = False) -> None:
        from ..ir.interpreter import Interpreter  # torch is needed only from here on

        self._program = program
        self._interpreter = Interpreter(program, store, in_time=in_time)
        self._counts = blank_counts(program)
        self._tokens = 0

    def new_state(self, batch: int = 1) -> RunState:
        """A state without a past, for so many sequences."""
        return self._interpreter.new_state(batch)

    def run(self, ids: Ids, state: RunState | None = None, *, mask: Ids | None = None) -> Mapping[str, Floats]:
        """As Runner.run."""
        import torch

        inputs = {"ids": torch.from_numpy(ids)}
        if mask is not None:
            inputs["mask"] = torch.from_numpy(mask)
        outputs = self._interpreter.run(inputs, state, watch=self._watch)
        self._tokens += ids.size
        return {name: value.numpy() for name, value in outputs.items()}

    def branch(self, ids: Ids, batch: int) -> RunState:
        """As Branching.branch."""
        import torch

        state = self.new_state(1)
        self._interpreter.extend({"ids": torch.from_numpy(ids[None])}, state, self._watch)
        self._tokens += ids.size
        return state.fork(batch)

    def stats(self) -> Stats:
        """As Runner.stats."""
        return Stats(self._tokens, tuple(self._counts.values()))

    def _watch(self, op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        if op.name in DRIVEN:
            counted = count_op(self._program, op, tuple(o.numpy() for o in operands))
            self._counts[op.result.name] = total(self._counts[op.result.name], counted)


class ReferenceBackend:
    """Program text and weights; what they mean is what the interpreter does."""

    name = "reference"
    summary = "the program itself, run op by op in torch: the semantics every other backend is held to"

    def supports(self, program: Program) -> list[str]:
        """Everything is."""
        return []

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        """Nothing beyond program and weights, which are written into `out` if the artifact around it has them not.

        Raises IRError if there are options (it has none).
        """
        if options:
            raise IRError(f"the {self.name} backend has no option '{next(iter(options))}'")
        out.mkdir(parents=True, exist_ok=True)
        provide(out, program, store)
        return {}

    def load(self, out: Path) -> Runner:
        """A runner of the program in `out` or in the artifact around it."""
        return ReferenceRunner(*read_program(find(out)))
