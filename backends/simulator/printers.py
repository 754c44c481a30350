"""Each op as a line of Python: the table from ops to expressions over the emitted kernels.

An expression may use B, S and P (sizes of this call), `w` (weights), `counts` and `state`, and the modules of kernels/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...ir import Current, Dim, FixedWeight, FloatWeight, Ints, Membrane, Op, Program, RowWeight, Spikes, Train
from ...ir.ops.spikes import grid_tops
from ...ir.types import Shape, planes
from .constants import Constants


@dataclass(frozen=True, slots=True)
class Line:
    """One op to be printed, with what its expression may refer to."""

    op: Op
    program: Program
    names: Mapping[str, str]
    constants: Constants

    def arg(self, index: int) -> str:
        """The variable of an operand."""
        return self.names[self.op.operands[index].name]

    def args(self) -> list[str]:
        """The variables of all operands."""
        return [self.names[o.name] for o in self.op.operands]

    def attr(self, name: str) -> Any:
        return self.op.attrs[name]

    def attrs(self, *names: str) -> dict[str, str]:
        """Attributes as keyword arguments."""
        return {name: repr(self.op.attrs[name]) for name in names}

    def values(self, index: int) -> str:
        """A weight as float32 values."""
        name = self.op.weights[index]
        of = self.program.weights[name].type
        if isinstance(of, FloatWeight):
            return f"w.values({name!r})"
        return f"w.fixed({name!r}, {of.frac})" if isinstance(of, FixedWeight) else f"w.grid({name!r}, {of.group})"

    def all_values(self) -> list[str]:
        """All weights as float32 values."""
        return [self.values(i) for i in range(len(self.op.weights))]

    def weight(self, form: str, index: int = 0, *more: str) -> str:
        """A weight in a form of kernels/weights.py."""
        name = self.op.weights[index]
        of = self.program.weights[name].type
        group = [f"group={of.group}"] if isinstance(of, RowWeight) and form in ("columns", "sums") else []
        return f"w.{form}({', '.join([repr(name), *more, *group])})"

    def cells(self) -> str:
        """The constant that holds the membrane planes of operand 0 over weight 0."""
        of = self.op.operands[0].type
        assert isinstance(of, Spikes | Membrane)
        return self.constants.planes(planes(of.starts, self.program.weights[self.op.weights[0]].type))

    def count(self) -> str:
        """The counter of this op."""
        return f"counts[{self.op.result.name!r}]"


def call(function: str, *args: str, **keywords: str) -> str:
    """A call as text."""
    return f"{function}({', '.join([*args, *(f'{k}={v}' for k, v in keywords.items())])})"


def _size(dim: Dim) -> str:
    return str(dim).replace("P+S", "P + S")


def _sizes(shape: Shape) -> str:
    return ", ".join(map(_size, shape))


def _slice(c: Line) -> str:
    of = c.op.operands[0].type
    axis = c.attr("axis") % len(of.shape)
    return f"{c.arg(0)}[{':, ' * axis}{c.attr('start')}:{c.attr('stop')}]"


def _append(c: Line) -> str:
    axis = c.attr("axis") + isinstance(c.op.operands[0].type, Train | Current)
    return call("session.append", "state", repr(c.op.state), c.arg(0), axis=str(axis))


MASKING = ("causal", "window", "softcap", "alibi")


def _encode(c: Line) -> str:
    of = c.op.results[0].type
    assert isinstance(of, Spikes)
    rule = c.attrs("grid", "threshold", "factor", "clip", "quantile", "order", "overflow", "price")
    rule["tops"] = repr(grid_tops(c.op.attrs, of.segments))
    return call("spikes.encode", c.arg(0), c.constants.segments(of.segments), **rule)


def _int_encode(c: Line) -> str:
    of = c.op.results[0].type
    assert isinstance(of, Ints)
    return call("spikes.encode_integers", c.arg(0), top=str(of.top), signed=repr(of.signed))


def _linear(c: Line) -> str:
    of = c.op.operands[0].type
    assert isinstance(of, Spikes)
    segments = c.constants.segments(of.segments)
    return call("spikes.linear", c.arg(0), segments, c.weight("columns"), c.cells(), c.count())


def _center(c: Line) -> str:
    cells = c.cells()
    return call("spikes.center", c.arg(0), c.arg(1), c.weight("sums", 0, cells), cells)


def _sum(c: Line) -> str:
    return call("spikes.count_sum", c.arg(0), c.cells(), *c.args()[1:])


def _read_out(c: Line) -> str:
    cells, of, extra = c.cells(), c.program.weights[c.op.weights[0]].type, {}
    if "scales" in of.forms:
        extra["scales"] = c.weight("per_plane", 0, "'scales'", cells)
        if "minima" in of.forms:
            extra["minima"] = c.weight("per_plane", 0, "'minima'", cells)
            extra["sums"] = c.arg(2)
    if len(c.op.weights) == 2:
        extra["bias"] = c.values(1)
    return call("spikes.read_out", c.arg(0), c.arg(1), cells, **extra)


def _matmul(c: Line) -> str:
    of = c.op.operands[1].type
    assert isinstance(of, Spikes)
    code = f"{c.constants.segments(of.segments)}[0].code"
    return call("spikes.matmul", *c.args(), code, c.count(), **c.attrs("transpose"))


def _lif_linear(c: Line) -> str:
    bias = [c.weight("codes", 1)] if len(c.op.weights) == 2 else []
    return call("lif.linear", c.arg(0), c.weight("columns"), c.count(), *bias)


def _coinciding(c: Line) -> tuple[str, ...]:
    """Spans of heads stand only where there are some."""
    return ("causal", "near", "far") if c.attr("far") else ("causal",)


def _lif_reshape(c: Line) -> str:
    of, axes = c.op.operands[0].type, c.attr("axes")
    assert isinstance(of, Train | Current)
    y = f"{c.arg(0)}.reshape({of.steps}, {_sizes(c.attr('shape'))})"
    return f"{y}.transpose(0, {', '.join(str(a + 1) for a in axes)})" if axes else y


def _lif_mean(c: Line) -> str:
    of = c.op.operands[0].type
    return call("lif.mean", c.arg(0), unit=str(2**of.frac if isinstance(of, Current) else 1))


Printer = Callable[[Line], str]

PRINTERS: dict[str, Printer] = {
    "nn.embed": lambda c: call("dense.embed", c.arg(0), c.values(0), **c.attrs("offset")),
    "nn.linear": lambda c: call("dense.linear", c.arg(0), *c.all_values()),
    "nn.rms_norm": lambda c: call("dense.rms_norm", c.arg(0), *c.all_values(), **c.attrs("eps", "gain_offset")),
    "nn.layer_norm": lambda c: call("dense.layer_norm", c.arg(0), *c.all_values(), **c.attrs("eps")),
    "nn.add": lambda c: f"{c.arg(0)} + {c.arg(1)}",
    "nn.mul": lambda c: f"{c.arg(0)} * {c.arg(1)}",
    "nn.scale": lambda c: f"{c.arg(0)} * np.float32({c.attr('by')!r})",
    "nn.bias": lambda c: f"{c.arg(0)} + {c.values(0)}",
    "nn.activation": lambda c: call("dense.activation", c.arg(0), **c.attrs("kind")),
    "nn.softcap": lambda c: call("dense.softcap", c.arg(0), **c.attrs("cap")),
    "nn.rope": lambda c: call("dense.rope", *c.args(), c.values(0), **c.attrs("layout", "scaling")),
    "nn.reshape": lambda c: f"{c.arg(0)}.reshape({_sizes(c.attr('shape'))})",
    "nn.permute": lambda c: f"{c.arg(0)}.transpose({_sizes(c.attr('axes'))})",
    "nn.slice": _slice,
    "nn.concat": lambda c: f"np.concatenate(({', '.join(c.args())}), axis={c.attr('axis')})",
    "nn.repeat": lambda c: f"np.repeat({c.arg(0)}, {c.attr('times')}, axis={c.attr('axis')})",
    "nn.set_apart": lambda c: call("dense.set_apart", c.arg(0), **c.attrs("channels", "back")),
    "nn.rotate": lambda c: call("dense.rotate", c.arg(0), *c.all_values(), **c.attrs("hadamard")),
    "nn.attend": lambda c: call("attention.attend", *c.args(), **c.attrs("scale", *MASKING)),
    "nn.softmax": lambda c: call("attention.softmax", *c.args(), **c.attrs(*MASKING)),
    "state.append": _append,
    "spike.encode": _encode,
    "int.encode": _int_encode,
    "spike.linear": _linear,
    "spike.center": _center,
    "spike.sum": _sum,
    "spike.read_out": _read_out,
    "spike.matmul": _matmul,
    "spike.read_matmul": lambda c: call("spikes.read_matmul", *c.args()),
    "lif.current": lambda c: call("lif.current", c.arg(0), steps=repr(c.attr("T")), frac=repr(c.attr("frac"))),
    "lif.fire": lambda c: call("lif.fire", c.arg(0), **c.attrs("beta", "threshold")),
    "lif.linear": _lif_linear,
    "lif.coincide": lambda c: call("lif.coincide", *c.args(), c.count(), **c.attrs(*_coinciding(c))),
    "lif.gather": lambda c: call("lif.gather", *c.args(), c.count()),
    "lif.both": lambda c: f"{c.arg(0)} & {c.arg(1)}",
    "lif.reshape": _lif_reshape,
    "lif.mean": _lif_mean,
}
