"""Which ops of a program NIR expresses, each block of them as a graph, and why it does not express the others."""

from __future__ import annotations

import re

import nir
import numpy as np
from sdllm.backends.mapping import LEFT_OUT
from sdllm.ir import Code, Op, Program, Store, Ternary

from . import graphs

ATTENTION = "NIR has no attention: its weights are constants, and here both operands change"
OUTSIDE = "it stands between graphs, each of which is one layer, and a graph of it alone would say nothing"
LAYER = "the linear layer that it belongs to is not expressed"
NO = {
    **dict.fromkeys(("nn.attend", "spike.matmul", "spike.read_matmul", "lif.coincide", "lif.gather"), ATTENTION),
    **dict.fromkeys(("nn.add", "nn.scale", "nn.bias", "nn.reshape", "nn.permute", "nn.slice", "nn.concat"), OUTSIDE),
    **dict.fromkeys(("nn.repeat", "nn.set_apart", "lif.current", "lif.mean", "lif.reshape"), OUTSIDE),
    **dict.fromkeys(("spike.encode", "spike.sum", "spike.read_out"), LAYER),
    "state.append": "NIR has no memory of earlier tokens: its time is that of spikes",
    "spike.center": "a zero point that is found for each token is no constant of a graph",
}


class Blocks:
    """`part`: the graph's name by result name; `why` an op is in none; `roots`: the op that a graph stands for."""

    def __init__(self, program: Program) -> None:
        self.program, self.users, self.made_by = program, program.users(), program.producers()
        self.part: dict[str, str] = {}
        self.why: dict[str, str] = {}
        self.roots: dict[str, Op] = {}
        finders = {"spike.linear": self._spiked, "lif.fire": self._fire}
        finders |= dict.fromkeys(("lif.linear", "nn.linear"), lambda op: [op])
        for op in program.ops:
            found = finders[op.name](op) if op.name in finders else NO.get(op.name, f"no node of NIR does {op.name}")
            if isinstance(found, str):
                self.why[op.result.name] = found
                continue
            stem = re.sub(r"[^\w.-]", "_", op.loc.module) or "block"
            name = stem if stem not in self.roots else f"{stem}.{op.result.name}"
            self.roots[name] = op
            for one in found:
                self.part.setdefault(one.result.name, name)

    def _spiked(self, op: Op) -> list[Op] | str:
        """A linear layer with its encoder and read-out."""
        encoder, readers = self.made_by.get(op.operands[0].name), self.users[op.result.name]
        if encoder is None or encoder.name != "spike.encode":
            return "its spikes come out of a cache"
        code, attrs = encoder.attrs["code"], encoder.attrs
        if not isinstance(code, Ternary) or attrs["levels"] not in (0, code.steps):
            shown = code if isinstance(code, Code) else ", ".join(map(str, code))
            return f"neurons of one threshold and weight fire ternary codes of as many levels as steps, not {shown}"
        if attrs["clip"] != "none" or attrs["price"] or [r.name for r in readers] != ["spike.read_out"]:
            return "counts that are clipped or priced are no charge that neurons fire away"
        return [op, encoder, readers[0], *(self.made_by[o.name] for o in readers[0].operands[2:])]

    def _fire(self, op: Op) -> list[Op] | str:
        if op.attrs["beta"] not in (0, 256):
            return f"NIR's leak is real, and this one, to {op.attrs['beta']}/256, is rounded down at each step"
        known = isinstance(op.operands[0].type.shape[-1], int)
        return [op] if known else "as many neurons as there are tokens are no graph"

    def graph(self, name: str, store: Store) -> nir.NIRGraph:
        """The graph of a block."""
        op = self.roots[name]
        weights = [self.program.weights[w] for w in op.weights]
        if op.name == "spike.linear":
            return graphs.spiked_linear(store.floats(weights[0]))
        if op.name == "lif.fire":
            return graphs.fired(op.operands[0].type.shape[-1], op.attrs["threshold"], not op.attrs["beta"])
        fixed = op.name == "lif.linear"  # in the fixed point of the program
        weight, bias = (*(np.float32(store.get(w)["codes"]) if fixed else store.floats(w) for w in weights), None)[:2]
        return graphs.linear(weight, bias)

    def became(self, op: Op) -> str:
        """What an op became, or why it did not."""
        name = self.part.get(op.result.name)
        return f"{name}.nir" if name else f"{LEFT_OUT}{self.why[op.result.name]}"
