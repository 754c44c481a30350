"""What a backend is: something that turns a program into files and runs them.

A backend reads programs and weights (sdllm.ir) and nothing else of ours; it is found by its entry point in the group
`sdllm.backends` (see registry.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..ir import Program, Store

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SpikeCount:
    """Spikes that one op was driven by, summed over all tokens so far.

    `op` is the result name of the product (spike.linear, spike.matmul, lif.linear, lif.coincide, lif.gather); `spikes`
    the ±1 spikes of its spiked operand; `nonzero` the counts that are not 0 (trains that fire); `values` how many
    counts or trains there were; `additions` the synaptic operations (spikes times fan-out); `macs` the multiply-adds of
    the dense product; `steps` the spikes of each time step; `updates` how often a membrane cell was doubled or had its
    slope added (ramp codes). backends/counting.py has the rules.
    """

    op: str
    module: str
    code: str
    values: int = 0
    spikes: int = 0
    nonzero: int = 0
    additions: int = 0
    macs: int = 0
    updates: int = 0
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """Spike counts of each spiked product, in program order, and the tokens they were counted over."""

    tokens: int
    counts: tuple[SpikeCount, ...] = field(default=())


@runtime_checkable
class Runner(Protocol):
    """A program ready to run. One runner has no memory of its own: the past lives in the state it hands out."""

    def new_state(self, batch: int = 1) -> Any:
        """A state without a past. Encoders need none and accept None in `run`."""
        ...

    def run(self, ids: Ids, state: Any = None, *, mask: Ids | None = None) -> Mapping[str, Floats]:
        """Run S new tokens ids [B,S] after the state's past, extending it; outputs by name, for all S positions.

        mask i64[B,P+S]: 0 hides a token; without it nothing is hidden. S > 1 is prefill, S = 1 a decode step.
        """
        ...

    def stats(self) -> Stats:
        """Spikes counted since the runner was made."""
        ...


@runtime_checkable
class Branching(Runner, Protocol):
    """A runner that can go on from one past in several ways; scoring then runs a shared context once."""

    def branch(self, ids: Ids, batch: int) -> Any:
        """A state of `batch` sequences, all of which have the tokens ids i64[S] behind them, S at least 1."""
        ...


@runtime_checkable
class Serial(Runner, Protocol):
    """A runner that takes the sequences of a batch one after the other; scoring then pads none of them."""

    def apart(self, state: Any) -> Sequence[Any]:
        """The sequences of a state, each as a state of its own. The state itself is used up."""
        ...


@runtime_checkable
class Writing(Runner, Protocol):
    """A runner that can also go on with one sequence of its own, giving the last logits alone: the quick way."""

    @property
    def context(self) -> int:
        """The most tokens that the sequence can have."""
        ...

    counting: bool
    """Whether spikes are counted on this way, which takes time; not at first."""

    def reset(self) -> None:
        """Begin a new sequence."""
        ...

    def prefill(self, ids: Ids) -> Floats:
        """Go on by tokens ids i64[S], S at least 1; logits f32[V] after the last."""
        ...

    def step(self, token: int) -> Floats:
        """The same for one token."""
        ...


@runtime_checkable
class Backend(Protocol):
    """One target."""

    name: str
    summary: str

    def supports(self, program: Program) -> list[str]:
        """Reasons why this program cannot be emitted, each naming op and module; empty if it can."""
        ...

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        """Write all that a run needs into the folder `out`; gives entries for the manifest. Same input, same bytes.

        A backend may also write map.json, which says what each op became (see mapping.py): `inspect` then shows it.

        In a compiled folder, `out.parent` has what belongs to the model rather than to a backend, which a backend may
        read or leave alone: program.spike and weights.safetensors (see container.py) and, where the source has a
        tokenizer, its files as transformers saves them, tokenizer.json among them, and text.json: `stop`, the ids that
        end a text, and `chat`, what stands before and after a user's words in a conversation, or null.
        """
        ...

    def load(self, out: Path) -> Runner:
        """A runner of what `emit` wrote into `out`."""
        ...


@runtime_checkable
class Configurable(Backend, Protocol):
    """A backend with options, which `emit` is given; any other takes none."""

    options: Mapping[str, str]
    """The name of each option, and in a line what it may be."""

    def check(self, options: Mapping[str, str]) -> None:
        """Raises IRError for an option there is not, or a value that cannot be: asked before any long work."""
        ...


@runtime_checkable
class Measuring(Protocol):
    """A backend that knows what was measured on this machine: entries for machine.json."""

    def measured(self) -> Mapping[str, Any]:
        """All of it, by name; empty if nothing was measured."""
        ...
