"""An emitted model as a Runner, by onnxruntime on the processor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as onnx
import onnxruntime
from numpy.typing import NDArray

from ...ir import IRError, Op, Program, Spikes, Train, parse_program
from ...ir.ops import size
from ..container import PROGRAM, find
from ..counting import DRIVEN, blank_counts, count_op, total
from ..interface import Floats, Ids, Stats
from . import values
from .body import BOOL, FLOAT, INT64
from .integers import from_bytes

Array = NDArray[Any]

MODEL = "model.onnx"
_PROVIDERS = ["CPUExecutionProvider"]
_FOLDER = "session.model_external_initializers_file_folder_path"


@dataclass
class ONNXState:
    """The arrays of a program's states, grown along their past, the mask of all tokens, and how many there are."""

    arrays: dict[str, Any]
    past: int = 0
    mask: Ids = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))


class ONNXRunner:
    """Runs the model of a folder on `threads` threads, or $SDLLM_THREADS, or those of the processor, 4 at most.

    `run` counts spikes, unless `stats` is false, by a second session in which counts are outputs.
    """

    def __init__(self, folder: Path, *, threads: int = 0, stats: bool = True) -> None:
        self._folder = folder
        self._threads = threads or _usual_threads()
        self._stats = stats
        self.counting = False
        path = find(folder) / PROGRAM
        self._program: Program = parse_program(path.read_text(encoding="utf-8"), str(path))
        self._counts = blank_counts(self._program)
        self._tokens = 0
        self._past = {name: values.state_names(s) for name, s in self._program.states.items()}
        self._own: ONNXState | None = None

    def new_state(self, batch: int = 1) -> ONNXState:
        """A state without a past, for so many sequences."""
        dtypes = {given.name: given.type for given in self._inputs}
        arrays = {}
        for name, state in self._program.states.items():
            shape = [size(d, {"B": batch, "P": 0, "S": 0}) for d in values.axes(state.type)]
            dtype = _DTYPES[dtypes[self._past[name][0]]]
            arrays[name] = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype=dtype))
        return ONNXState(arrays, 0, np.zeros((batch, 0), dtype=np.int64))

    def run(self, ids: Ids, state: ONNXState | None = None, *, mask: Ids | None = None) -> Mapping[str, Floats]:
        """As Runner.run."""
        return self.forward({"ids": ids} if mask is None else {"ids": ids, "mask": mask}, state)

    def forward(self, given: Mapping[str, Array], state: ONNXState | None = None) -> dict[str, Array]:
        """Outputs by name for inputs by name, `ids` [B,S] among them."""
        return self._forward(given, state, counted=self._stats and bool(self._counts))

    def branch(self, ids: Ids, batch: int) -> ONNXState:
        """As Branching.branch."""
        state = self.new_state(1)
        self.run(ids[None], state)
        for name, of in ((s.name, s.type) for s in self._program.states.values()):
            if "B" in of.shape:
                repeated = np.repeat(state.arrays[name].numpy(), batch, axis=values.axes(of).index("B"))
                state.arrays[name] = onnxruntime.OrtValue.ortvalue_from_numpy(repeated)
        return ONNXState(state.arrays, state.past, np.repeat(state.mask, batch, axis=0))

    def stats(self) -> Stats:
        """As Runner.stats."""
        return Stats(self._tokens, tuple(self._counts.values()))

    # ---- Writing: with a state of its own, uncounted ----

    @property
    def context(self) -> int:
        """As Writing.context: what the model's positions allow, as memory grows with the text."""
        return int(self._program.meta.get("max_positions") or 1 << 30)

    def reset(self) -> None:
        """As Writing.reset."""
        self._own = None

    def prefill(self, ids: Ids) -> Floats:
        """As Writing.prefill."""
        self._own = self._own or self.new_state(1)
        given = {"ids": np.ascontiguousarray(ids, dtype=np.int64)[None]}
        logits: Floats = self._forward(given, self._own, counted=self.counting)["logits"][0, -1]
        return logits

    def step(self, token: int) -> Floats:
        """As Writing.step."""
        return self.prefill(np.array([token]))

    # ---- sessions ----

    def _options(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        options.add_session_config_entry(_FOLDER, str(self._folder.resolve()))
        return options

    @cached_property
    def _plain(self) -> Any:
        """The model as it is."""
        return onnxruntime.InferenceSession(str(self._folder / MODEL), self._options(), providers=_PROVIDERS)

    @cached_property
    def _counted(self) -> Any:
        """The model with the counts that drive products among its outputs."""
        model = onnx.load(self._folder / MODEL)
        there = {v.name: v for v in model.graph.inputs} | {v.name: v for node in model.graph for v in node.outputs}
        for name in self._watched.values():
            value = there[name]
            if value not in model.graph.outputs:
                model.graph.outputs.append(value)
        data = onnx.to_proto(model).SerializeToString()
        return onnxruntime.InferenceSession(data, self._options(), providers=_PROVIDERS)

    @cached_property
    def _watched(self) -> dict[str, str]:
        """The spiked operands of products, by the names they have in the model."""
        names: dict[str, str] = {}
        for name, v in self._program.outputs.items():
            names.setdefault(v.name, values.output_name(name))
        for op in self._program.ops:
            if op.state is not None:
                names[op.result.name] = self._past[op.state][1]
        names |= {v.name: values.input_name(v) for v in self._program.inputs}
        spiked = [op.operands[DRIVEN[op.name]] for op in self._program.ops if op.name in DRIVEN]
        return {v.name: names.get(v.name, f"%{v.name}") for v in spiked}

    @property
    def _inputs(self) -> Any:
        return (self._counted if self._stats and self._counts else self._plain).get_inputs()

    def _forward(self, given: Mapping[str, Array], state: ONNXState | None, *, counted: bool) -> dict[str, Array]:
        session = self._counted if counted else self._plain
        ids = given["ids"]
        state = self.new_state(ids.shape[0]) if state is None else state
        full = self._filled(given, state)
        names = {values.input_name(v): v.name for v in self._program.inputs}
        pasts = {past: name for name, (past, _) in self._past.items()}
        feeds = {}
        for wanted in session.get_inputs():
            if wanted.name in pasts:
                feeds[wanted.name] = state.arrays[pasts[wanted.name]]
            else:
                array: Array = np.ascontiguousarray(full[names[wanted.name]], dtype=_DTYPES[wanted.type])
                feeds[wanted.name] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        asked = [o.name for o in session.get_outputs()]
        found = dict(zip(asked, session.run_with_ort_values(asked, feeds), strict=True))
        for name, (_, present) in self._past.items():
            state.arrays[name] = found[present]
        state.past, state.mask = state.past + ids.shape[1], full["mask"]
        self._tokens += ids.size
        if counted:
            self._tally(found, {"B": ids.shape[0], "S": ids.shape[1], "P": state.past - ids.shape[1]})
        outputs = self._program.outputs.items()
        return {name: _as_told(found[values.output_name(name)].numpy(), v.type) for name, v in outputs}

    def _filled(self, given: Mapping[str, Array], state: ONNXState) -> dict[str, Array]:
        """The inputs, with what was left out filled in."""
        batch, new = given["ids"].shape
        full = dict(given)
        if "mask" not in full:
            full["mask"] = np.concatenate((state.mask, np.ones((batch, new), dtype=np.int64)), axis=1)
        if full["mask"].shape != (batch, state.past + new):
            raise IRError(f"mask has shape {full['mask'].shape}, past and new are {(batch, state.past + new)}")
        full.setdefault("positions", np.maximum(full["mask"].cumsum(1) - 1, 0)[:, state.past :])
        full.setdefault("types", np.zeros_like(full["ids"]))
        return full

    def _tally(self, found: Mapping[str, Any], dims: Mapping[str, int]) -> None:
        arrays = {name: found[there].numpy() for name, there in self._watched.items()}
        for op in self._program.ops:
            if op.name in DRIVEN:
                counted = count_op(self._program, op, _operands(op, arrays, dims))
                self._counts[op.result.name] = total(self._counts[op.result.name], counted)


def _operands(op: Op, arrays: Mapping[str, Array], dims: Mapping[str, int]) -> tuple[Array, ...]:
    """Operands as the rules of counting want them: of those that do not spike the shape is enough."""
    made = []
    for v in op.operands:
        shape = [size(d, dims) for d in values.axes(v.type)]
        if v.name in arrays:
            found = arrays[v.name]
            if isinstance(v.type, Spikes) and found.dtype == np.uint8:
                found = from_bytes(found, *values.span(v.type))
            made.append(found.astype(np.int32 if isinstance(v.type, Spikes) else np.int8))
        else:
            made.append(np.broadcast_to(np.int8(0), shape))
    return tuple(made)


def _as_told(found: Array, of: Any) -> Array:
    """An output in the dtype that the language holds it in: counts in 32 bits."""
    kind = values.dtype(of)
    plain = kind.numpy() if kind in (FLOAT, INT64, BOOL) or isinstance(of, Train) else np.int32
    return found.astype(plain, copy=False)


_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def _usual_threads() -> int:
    """$SDLLM_THREADS, or the processors this process may use, 4 at most. Raises IRError."""
    given = os.environ.get("SDLLM_THREADS")
    if given is None:
        there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(there, 4)
    if not given.isdecimal() or not int(given):
        raise IRError(f"SDLLM_THREADS is '{given}'; give a positive number")
    return int(given)
