"""The nir backend: what NIR can express of a program, a graph for each layer, and word for word what it cannot.

The rest is run by the reference interpreter, so that a whole program can be tried with the graphs, read back, in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
from sdllm.backends.container import find, provide, read_program
from sdllm.backends.interface import Stats
from sdllm.backends.mapping import write_map
from sdllm.ir import OPS, IRError, Program, Store

from . import graphs
from .blocks import Blocks


class Runner:
    """The program, its blocks computed by the graphs in their files. Spikes are not counted."""

    def __init__(self, out: Path) -> None:
        from sdllm.ir.interpreter import KERNELS, Interpreter

        program, store = read_program(find(out))
        self.blocks, self.tokens, self.charges = Blocks(program), 0, dict[str, Any]()
        self.graphs = {op.result.name: nir.read(out / f"{name}.nir") for name, op in self.blocks.roots.items()}
        own = {"spike.encode": self.encode, "spike.linear": self.linear, "spike.read_out": self.read_out}
        own |= {"lif.fire": self.timed, "lif.linear": self.timed, "nn.linear": self.plain}
        self.usual = KERNELS
        self.interpreter = Interpreter(program, store, kernels=own)

    def new_state(self, batch: int = 1) -> Any:
        return self.interpreter.new_state(batch)

    def run(self, ids: Any, state: Any = None, *, mask: Any = None) -> Mapping[str, Any]:
        import torch

        self.tokens += ids.size
        given = {"ids": ids} if mask is None else {"ids": ids, "mask": mask}
        outputs = self.interpreter.run({name: torch.from_numpy(a) for name, a in given.items()}, state)
        return {name: value.numpy() for name, value in outputs.items()}

    def stats(self) -> Stats:
        return Stats(self.tokens)

    def encode(self, call: Any) -> Any:
        """The threshold V of each token is found outside; what goes into the graph is x/V."""
        results = self.usual["spike.encode"](call)
        if len(results) == 2 and results[1].shape[-1] == 1:
            self.charges[call.op.result.name] = (call.operands[0] / results[1]).double().numpy()
        return results

    def linear(self, call: Any) -> Any:
        """The charge, then nothing for as many steps as the code has; the membrane after the last."""
        import torch

        made = self.graphs.get(call.op.result.name)
        if made is None:
            return self.usual["spike.linear"](call)
        charge = self.charges[call.op.operands[0].name]
        steps = [charge] + [np.zeros_like(charge)] * (call.type(0).steps - 1)
        return (torch.from_numpy(graphs.play(made, steps)[-1]).float().unsqueeze(-2),)

    def read_out(self, call: Any) -> Any:
        """V times the membrane, and the bias, which comes once and not at each step."""
        if call.op.operands[0].name not in self.graphs:
            return self.usual["spike.read_out"](call)
        y = call.operands[0].squeeze(-2) * call.operands[1]
        return (y + call.weights[1].values if len(call.weights) == 2 else y,)

    def plain(self, call: Any) -> Any:
        """A layer that does not spike is a graph of one step."""
        import torch

        made = self.graphs[call.op.result.name]
        return (torch.from_numpy(graphs.play(made, [call.operands[0].double().numpy()])[0]).float(),)

    def timed(self, call: Any) -> Any:
        import torch

        if (made := self.graphs.get(call.op.result.name)) is None:
            return self.usual[call.op.name](call)
        steps = graphs.play(made, list(call.operands[0].double().numpy()))
        kind = torch.int8 if call.op.name == "lif.fire" else torch.int32
        return (torch.from_numpy(np.rint(np.stack(steps))).to(kind),)


class NirBackend:
    """Graphs of encoders, linear layers and neurons; map.json says of every other op why it is in none."""

    name = "nir"
    summary = "NIR graphs of the layers that NIR can express, for neuromorphic toolchains"

    def supports(self, program: Program) -> list[str]:
        odd = [op for op in program.ops if op.name not in OPS]
        return [f"{op.name} at {op.loc.module or '<no module>'}: there is no such op" for op in odd]

    def emit(self, program: Program, store: Store, out: Path, options: Mapping[str, str]) -> dict[str, Any]:
        if options:
            raise IRError(f"the {self.name} backend has no option '{next(iter(options))}'")
        if reasons := self.supports(program):
            raise IRError("; ".join(reasons))
        out.mkdir(parents=True, exist_ok=True)
        blocks = Blocks(program)
        for name in blocks.roots:
            nir.write(out / f"{name}.nir", blocks.graph(name, store))
        provide(out, program, store)
        write_map(out, program, blocks.became)
        left = [why for name, why in blocks.why.items() if name not in blocks.part]
        return {"graphs": [f"{name}.nir" for name in blocks.roots], "not_expressed": dict(Counter(left))}

    def load(self, out: Path) -> Runner:
        return Runner(out)
