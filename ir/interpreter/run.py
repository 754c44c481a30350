"""The reference interpreter: runs any program in torch, op by op, in the count domain or in the time domain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field

import torch

from ..errors import IRError
from ..ops import size
from ..program import Op, Program
from ..store import Store, dequantize, integers
from ..types import Current, GridWeight, RowWeight, Tensor, Train, Type
from . import dense, lif, spikes
from .kernel import KERNELS, Call, Kernel, T, WeightData

Watch = Callable[[Op, tuple[T, ...], tuple[T, ...]], None]

__all__ = ["Interpreter", "RunState", "dense", "lif", "spikes"]


@dataclass
class RunState:
    """What a program remembers between calls: the arrays of its states, grown along P."""

    arrays: MutableMapping[str, T]
    past: int = 0
    mask: T = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))

    batched: Mapping[str, int] = field(default_factory=dict)
    """The axis along which each array holds the sequences, where it has one."""

    def fork(self, batch: int = 1) -> RunState:
        """A state with the same past and a future of its own; that of one sequence for `batch` of them."""
        arrays = dict(self.arrays)  # kernels replace arrays and never write into them
        if batch > 1:
            arrays.update({name: arrays[name].repeat_interleave(batch, axis) for name, axis in self.batched.items()})
        return RunState(arrays, self.past, self.mask.repeat(batch, 1), self.batched)


class Interpreter:
    """Runs one program.

    `in_time` unrolls every spike train (slow, additions only); otherwise integer products of counts are used. The
    integers are the same. Weights are read from the store once and kept as float32. `kernels` take the place of the
    reference's, by op name: so that a part of a program may run in another way, amid all the rest.
    """

    def __init__(
        self, program: Program, store: Store, *, in_time: bool = False, kernels: Mapping[str, Kernel] | None = None
    ) -> None:
        self.program = program
        self.in_time = in_time
        self._store = store
        self._weights: dict[str, WeightData] = {}
        self._last_use = _last_uses(program)
        self._kernels = {**KERNELS, **(kernels or {})}
        missing = sorted({op.name for op in program.ops} - set(self._kernels))
        if missing:
            raise IRError(f"no reference kernel for {missing[0]}")

    def new_state(self, batch: int = 1) -> RunState:
        """A state without a past, for so many sequences."""
        arrays: dict[str, T] = {}
        batched: dict[str, int] = {}
        for state in self.program.states.values():
            of = state.type
            shape = [size(d, {"B": batch, "P": 0, "S": 0}) for d in of.shape]
            if isinstance(of, Train | Current):
                shape = [of.steps, *shape]
            if "B" in of.shape:
                batched[state.name] = of.shape.index("B") + len(shape) - len(of.shape)
            arrays[state.name] = torch.zeros(shape, dtype=_dtype(of))
        return RunState(arrays, 0, torch.zeros(batch, 0, dtype=torch.int64), batched)

    def weight(self, name: str) -> WeightData:
        """A weight as the kernels want it."""
        if name not in self._weights:
            weight = self.program.weights[name]
            parts = self._store.get(weight)
            arrays = {k: torch.from_numpy(v).float() for k, v in parts.items() if k != "values"}
            if isinstance(weight.type, GridWeight | RowWeight):
                arrays["integers"] = torch.from_numpy(integers(weight.type, parts)).float()
                arrays["tops"] = arrays["integers"].abs().amax(0)
                del arrays["codes"]
            if "integers" not in arrays or not self._only_integers(name):
                arrays["dequantized"] = torch.from_numpy(dequantize(weight.type, parts))
            self._weights[name] = WeightData(weight.type, arrays)
        return self._weights[name]

    def _only_integers(self, name: str) -> bool:
        return all(op.name.startswith("spike.") for op in self.program.weight_users()[name])

    def run(
        self,
        inputs: Mapping[str, T],
        state: RunState | None = None,
        watch: Watch | None = None,
    ) -> dict[str, T]:
        """Run one call and give the outputs by name.

        inputs: `ids` and `positions` i64[B,S], `mask` i64[B,P+S] (left out: nothing is padding), by the program's
        inputs. A `state` is extended in place; without one the past is empty. `watch` sees each op with its operands
        and results.
        """
        ids = inputs["ids"]
        state = state if state is not None else self.new_state(ids.shape[0])
        with torch.inference_mode():
            outputs = self.finish(0, self.bind(inputs, state), state, watch)
        state.past += ids.shape[1]
        return outputs

    def extend(self, inputs: Mapping[str, T], state: RunState, watch: Watch | None = None) -> None:
        """Extend a state as `run` does, and leave out the floats after the last op that extends it or has to do with
        spikes: the head of a decoder, and what stands before it."""
        ops = self.program.ops
        stop = max((i + 1 for i, op in enumerate(ops) if not op.name.startswith("nn.")), default=0)
        with torch.inference_mode():
            values = self.bind(inputs, state)
            for index in range(stop):
                self.step(index, values, state, watch)
        state.past += inputs["ids"].shape[1]

    def finish(self, start: int, values: dict[str, T], state: RunState, watch: Watch | None = None) -> dict[str, T]:
        """Run the ops from number `start` on and give the outputs; `values` are those that live there, and are used
        up."""
        for index in range(start, len(self.program.ops)):
            self.step(index, values, state, watch)
        return {name: values[v.name] for name, v in self.program.outputs.items()}

    def step(self, index: int, values: dict[str, T], state: RunState, watch: Watch | None = None) -> None:
        """Run one op: its results join the values, those that nothing reads any more leave."""
        op = self.program.ops[index]
        operands = tuple(values[o.name] for o in op.operands)
        call = Call(op, operands, tuple(map(self.weight, op.weights)), state.arrays, self.in_time)
        results = self._kernels[op.name](call)
        if watch is not None:
            watch(op, operands, results)
        values.update(zip((r.name for r in op.results), results, strict=True))
        for name in self._last_use[index]:
            del values[name]

    def bind(self, inputs: Mapping[str, T], state: RunState) -> dict[str, T]:
        """The values a run starts from: inputs, with what was left out filled in; notes the mask in the state."""
        ids = inputs["ids"]
        batch, new = ids.shape
        given = dict(inputs)
        if "mask" not in given:
            given["mask"] = torch.cat((state.mask, torch.ones(batch, new, dtype=torch.int64)), dim=1)
        if given["mask"].shape != (batch, state.past + new):
            raise IRError(f"mask has shape {tuple(given['mask'].shape)}, past and new are {(batch, state.past + new)}")
        state.mask = given["mask"]
        given.setdefault("positions", (given["mask"].cumsum(1) - 1).clamp(min=0)[:, state.past :])
        given.setdefault("types", torch.zeros_like(ids))
        return {v.name: given[v.name] for v in self.program.inputs}


def _dtype(of: Type) -> torch.dtype:
    if isinstance(of, Tensor):
        return {"f32": torch.float32, "i32": torch.int32, "i64": torch.int64, "bool": torch.bool}[of.dtype]
    return torch.int8 if isinstance(of, Train) else torch.int32


def _last_uses(program: Program) -> list[list[str]]:
    """For each op the values that nothing reads after it."""
    outputs = {v.name for v in program.outputs.values()}
    seen = set(outputs)
    dying: list[list[str]] = []
    for op in reversed(program.ops):
        names: Iterable[str] = dict.fromkeys([o.name for o in op.operands] + [r.name for r in op.results])
        dying.append([n for n in names if n not in seen])
        seen.update(names)
    return dying[::-1]
