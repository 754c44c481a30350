"""The snntorch backend: a program becomes a torch module whose spikes are fired by snnTorch's neurons."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdllm.backends.container import provide
from sdllm.backends.counting import DRIVEN, blank_counts, count_op, total
from sdllm.backends.interface import Stats
from sdllm.backends.mapping import write_map
from sdllm.ir import OPS, Code, IRError, Op, Program, Spikes, Store

FIRED = ("binary", "ternary", "bits", "signed_bits")
MODEL = '''"""Written by sdllm's snntorch backend: `Model()(ids)`. Program and weights are here or a folder up."""

from pathlib import Path

from sdllm_snntorch.module import Encoder, Lif, SpikingProgram


class Model(SpikingProgram):
    def __init__(self):
        super().__init__(Path(__file__).resolve().parent)
{neurons}
'''
BECAME = {
    "spike.linear": "the columns of those that fired, added at each step",
    "spike.matmul": "the integers of those that fired, added at each step",
    "spike.sum": "the spikes of all steps",
}


def neurons(op: Op) -> str:
    """The layer of neurons that an op is, or nothing."""
    if op.name == "lif.fire":
        return f"Lif(beta={op.attrs['beta']}, threshold={op.attrs['threshold']})"
    if op.name != "spike.encode":
        return ""
    code = op.attrs["code"]
    return f"Encoder(steps={code.steps}, signed={code.lo < 0}, doubling={code.name.endswith('bits')})"


def fired(program: Program) -> list[Op]:
    return [op for op in program.ops if neurons(op)]


def refusal(op: Op) -> str:
    """Why an op cannot be emitted, or nothing."""
    code = op.attrs.get("code")
    if op.name == "spike.encode" and not isinstance(code, Code):
        return "channels with codes of their own are no one layer of neurons"
    if isinstance(code, Code) and code.name not in FIRED:
        return f"no neuron of snnTorch fires {code.name} (it takes {', '.join(FIRED)})"
    return "" if op.name in OPS else "there is no such op"


class Runner:
    """Runs an emitted module, and counts what its neurons fired."""

    def __init__(self, out: Path) -> None:
        self.model = runpy.run_path(str(out / "model.py"))["Model"]()
        self.counts, self.tokens = blank_counts(self.model.program), 0

    def new_state(self, batch: int = 1) -> Any:
        return self.model.interpreter.new_state(batch)

    def run(self, ids: Any, state: Any = None, *, mask: Any = None) -> Mapping[str, Any]:
        import torch

        self.tokens += ids.size
        given = None if mask is None else torch.from_numpy(mask)
        outputs = self.model(torch.from_numpy(ids), state, given, self._watch)
        return {name: value.numpy() for name, value in outputs.items()}

    def _watch(self, op: Op, operands: Any, _: Any) -> None:
        if op.name in DRIVEN:
            arrays = [value.numpy() for value in operands]
            if isinstance(of := op.operands[DRIVEN[op.name]].type, Spikes):
                arrays[DRIVEN[op.name]] = of.code.decode(arrays[DRIVEN[op.name]])
            counted = count_op(self.model.program, op, tuple(arrays))
            self.counts[op.result.name] = total(self.counts[op.result.name], counted)

    def stats(self) -> Stats:
        return Stats(self.tokens, tuple(self.counts.values()))


class SnnTorchBackend:
    """Layers of snn.Leaky: integrate-and-fire neurons as encoders, leaky ones where the program has them."""

    name = "snntorch"
    summary = "a torch module whose spikes come from snnTorch's neurons"

    def supports(self, program: Program) -> list[str]:
        return [f"{op.name} at {op.loc.module or '<no module>'}: {why}" for op in program.ops if (why := refusal(op))]

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        if options:
            raise IRError(f"the {self.name} backend has no option '{next(iter(options))}'")
        if reasons := self.supports(program):
            raise IRError("; ".join(reasons))
        out.mkdir(parents=True, exist_ok=True)
        layers = [
            f"self.fire({op.result.name!r}, {made})  # {op.loc.module!a}" for op in program.ops if (made := neurons(op))
        ]
        text = MODEL.format(neurons="\n".join(f"        {line}" for line in layers))
        (out / "model.py").write_text(text, encoding="utf-8", newline="\n")
        provide(out, program, store)
        write_map(out, program, lambda op: neurons(op) or BECAME.get(op.name, "as the reference does it"))
        return {"entry": "model.py", "needs": ["sdllm-snntorch"]}

    def load(self, out: Path) -> Runner:
        return Runner(out)
