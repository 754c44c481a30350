"""An emitted model as a Runner."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import IRError
from ..interface import Floats, Ids, SpikeCount, Stats
from .build import library
from .library import WATCH, Count, Options, Times, load
from .trains import from_c, join, to_c

Array = NDArray[Any]
Watch = Callable[[str, Array], None]

SHAPES = "shapes.json"
SPARE = 8  # states kept for the next to ask for one


def usual_threads(most: int) -> int:
    """$SDLLM_THREADS, or the processors this process may use, `most` at most. Raises IRError."""
    given = os.environ.get("SDLLM_THREADS")
    if given is None:
        there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(there, most)
    if not given.isdecimal() or not int(given):
        raise IRError(f"SDLLM_THREADS is '{given}'; give a positive number")
    return int(given)


@dataclass
class CState:
    """The pasts of a batch, one C state each, and how long they are."""

    runner: CRunner
    states: list[Any]
    past: int = 0
    mask: Ids = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    def __del__(self) -> None:
        for state in self.states:
            self.runner.free(state)


def _shapes(path: Path) -> dict[str, dict[str, list[Any]]]:
    """dtype, shape and form of inputs and outputs; folders of earlier versions, without trains, name no form."""
    kinds: dict[str, dict[str, list[Any]]] = json.loads(path.read_text(encoding="utf-8"))
    return {kind: {name: [*of, ""][:3] for name, of in values.items()} for kind, values in kinds.items()}


class CRunner:
    """Runs the model of a folder. Sequences of a batch go one after the other.

    `threads`, `isa`, `context` and `stats` are as in sdllm.h; where not given, the environment's SDLLM_THREADS and
    SDLLM_ISA count.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 0,
        isa: str = "",
        context: int = 0,
        stats: bool = True,
        profile: bool = False,
    ) -> None:
        self._model: Any = None
        self._spare: list[Any] = []
        self.library = library(folder)
        self._c = load(self.library)
        self._shapes = _shapes(folder / SHAPES)
        threads = threads or usual_threads(1)
        self._counts = int(stats)
        self.counting = False
        isa = isa or os.environ.get("SDLLM_ISA", "")
        options = Options(threads, context, isa.encode(), int(stats), int(profile))
        message = ctypes.create_string_buffer(256)
        self._model = self._c.sdllm_open(
            os.fsencode(folder / "weights.bin"), ctypes.byref(options), message, len(message)
        )
        if not self._model:
            raise IRError(message.value.decode(errors="replace"))

    def __del__(self) -> None:
        if self._model:
            for state in self._spare:
                self._c.sdllm_state_free(state)
            self._c.sdllm_close(self._model)
            self._model = None

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return str(self._c.sdllm_isa(self._model).decode())

    @property
    def seconds(self) -> dict[str, float]:
        """Where the time went, if the model was opened with `profile`."""
        times = Times()
        self._c.sdllm_profile(self._model, ctypes.byref(times))
        return {name: getattr(times, name) for name in ("linears", "attention", "head", "rest")}

    def new_state(self, batch: int = 1) -> CState:
        """A state without a past, for so many sequences."""
        state = CState(self, [], 0, np.zeros((batch, 0), dtype=np.int64))
        for _ in range(batch):
            state.states.append(self._spare.pop() if self._spare else self._new())
        return state

    def _new(self) -> Any:
        made = self._c.sdllm_state_new(self._model)
        self._check(not made)
        return made

    def branch(self, ids: Ids, batch: int) -> CState:
        """As Branching.branch: the tokens are run once, and copied. Raises IRError where the context is too short."""
        state = self.new_state(batch)
        first, *others = state.states
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        self._c.sdllm_use(self._model, first)
        failed = self._c.sdllm_prefill(self._model, ids.ctypes.data, len(ids), None)
        self._c.sdllm_use(self._model, None)
        self._check(failed)
        for other in others:
            self._c.sdllm_state_copy(other, first)
        state.past, state.mask = len(ids), np.ones((batch, len(ids)), dtype=np.int64)
        return state

    def apart(self, state: CState) -> list[CState]:
        """As Serial.apart."""
        held, state.states = state.states, []
        return [CState(self, [one], state.past, state.mask[b : b + 1]) for b, one in enumerate(held)]

    def free(self, state: Any) -> None:
        """Give a C state back: a few are kept, as making one clears room for a whole context."""
        if not self._model:
            return
        if len(self._spare) == SPARE:
            self._c.sdllm_state_free(state)
            return
        self._c.sdllm_use(self._model, state)
        self._c.sdllm_reset(self._model)
        self._c.sdllm_use(self._model, None)
        self._spare.append(state)

    def run(self, ids: Ids, state: CState | None = None, *, mask: Ids | None = None) -> Mapping[str, Floats]:
        """As Runner.run. Raises IRError where the context is too short."""
        outputs: Mapping[str, Floats] = self.forward(
            {"ids": ids} if mask is None else {"ids": ids, "mask": mask}, state
        )
        return outputs

    def forward(self, given: Mapping[str, Array], state: CState | None = None) -> dict[str, Array]:
        """Outputs by name for inputs by name, `ids` [B,S] among them."""
        batch, new = given["ids"].shape
        state = self.new_state(batch) if state is None else state
        past = state.past
        mask = given.get("mask")
        if mask is None:
            mask = np.concatenate((state.mask, np.ones((batch, new), dtype=np.int64)), axis=1)
        if mask.shape != (batch, past + new):
            raise IRError(f"mask has shape {tuple(mask.shape)}, past and new are {(batch, past + new)}")
        mask = np.ascontiguousarray(mask, dtype=np.int64)
        rows = [self._one(given, mask[b], b, state) for b in range(batch)]
        state.past, state.mask = past + new, mask
        return {name: join([r[name] for r in rows], of) for name, (_, _, of) in self._shapes["outputs"].items()}

    def _one(self, given: Mapping[str, Array], mask: Array, b: int, state: CState) -> dict[str, Array]:
        """One sequence of a batch."""
        sizes = {"B": 1, "S": given["ids"].shape[1], "P": state.past, "P+S": mask.shape[0]}
        held: list[Array] = []

        def pointers(arrays: list[Array | None]) -> Any:
            held.extend(a for a in arrays if a is not None)
            return (ctypes.c_void_p * max(1, len(arrays)))(*[None if a is None else a.ctypes.data for a in arrays])

        inputs: list[Array | None] = []
        for name, (dtype, _, of) in self._shapes["inputs"].items():
            own = name in ("ids", "mask") or name not in given
            inputs.append(None if own else np.ascontiguousarray(to_c(given[name], of, b), dtype=dtype))
        outputs = {
            name: np.zeros([sizes[d] if isinstance(d, str) else d for d in shape], dtype=dtype)
            for name, (dtype, shape, _) in self._shapes["outputs"].items()
        }
        ids = np.ascontiguousarray(given["ids"][b], dtype=np.int64)
        self._c.sdllm_use(self._model, state.states[b])
        made = self._c.sdllm_run(
            self._model, len(ids), ids.ctypes.data, mask.ctypes.data, pointers(inputs), pointers(list(outputs.values()))
        )
        self._c.sdllm_use(self._model, None)
        self._check(made)
        wide = {"|b1": "|b1", "|i1": "<i4", "<i2": "<i4"}  # counts are 32 bits to the outside
        forms = {name: of for name, (_, _, of) in self._shapes["outputs"].items()}
        return {
            name: from_c(a, forms[name]) if forms[name] else a.astype(wide.get(a.dtype.str, a.dtype.str), copy=False)
            for name, a in outputs.items()
        }

    # ---- Writing: by the model's own state, as an embedding C program does it ----

    @property
    def context(self) -> int:
        """As Writing.context."""
        return int(self._c.sdllm_context(self._model))

    def prefill(self, ids: Ids) -> Floats:
        """As Writing.prefill. Raises IRError where the context is too short."""
        logits = np.zeros(self._c.sdllm_vocabulary(self._model), dtype=np.float32)
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        self._c.sdllm_counting(self._model, self.counting)
        failed = self._c.sdllm_prefill(self._model, ids.ctypes.data, len(ids), logits.ctypes.data)
        self._c.sdllm_counting(self._model, self._counts)
        self._check(failed)
        return logits

    def step(self, token: int) -> Floats:
        """As Writing.step."""
        return self.prefill(np.array([token]))

    def reset(self) -> None:
        """As Writing.reset."""
        self._c.sdllm_reset(self._model)

    def _check(self, failed: Any) -> None:
        if failed:
            raise IRError(self._c.sdllm_error(self._model).decode(errors="replace"))

    def stats(self) -> Stats:
        """As Runner.stats."""
        counts: list[SpikeCount] = []
        count = Count()
        while not self._c.sdllm_stats(self._model, len(counts), ctypes.byref(count)):
            names = ("op", "module", "code")
            numbers = ("values", "spikes", "nonzero", "additions", "macs", "updates")
            counts.append(
                SpikeCount(
                    **{name: getattr(count, name).decode() for name in names},
                    **{name: getattr(count, name) for name in numbers},
                    steps=tuple(count.by_step[: count.steps]),
                )
            )
        return Stats(int(self._c.sdllm_tokens(self._model)), tuple(counts))

    def trace(self, watch: Watch) -> Any:
        """Call `watch` with each value of counts or membranes as it is made, [rows, width]. Keep what is returned."""

        def seen(_: Any, name: bytes, size: int, rows: int, width: int, data: int) -> None:
            dtype = {1: np.int8, 2: np.int16, 4: np.int32}[size]
            raw = ctypes.string_at(data, rows * width * size)
            watch(name.decode(), np.frombuffer(raw, dtype=dtype).reshape(rows, width).astype(np.int32))

        callback = WATCH(seen)
        self._check(self._c.sdllm_trace(self._model, callback, None))
        return callback
