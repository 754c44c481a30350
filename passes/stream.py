"""The residual stream: the values that must share one basis, and the ops at its edge."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir import Op, Program, Value


@dataclass
class Stream:
    """Values of the stream by name; ops that write into it (`makers`) and linears that read from it (`readers`)."""

    width: int = 0
    values: set[str] = field(default_factory=set)
    makers: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    refused: str = ""
    """Why no change of basis is possible; empty if it is."""


def residual_stream(program: Program) -> Stream:
    """Follow the token embedding forwards and backwards through additions, scales and gainless RMS norms."""
    users, producers = program.users(), program.producers()
    stream = Stream()
    start = next((op for op in program.ops if op.name == "nn.embed"), None)
    if start is None:
        stream.refused = "there is no embedding"
        return stream
    width = start.result.type.shape[-1]
    assert isinstance(width, int)
    stream.width = width
    todo = [start.result]
    outputs = {v.name: n for n, v in program.outputs.items()}
    while todo:
        value = todo.pop()
        if value.name in stream.values:
            continue
        stream.values.add(value.name)
        if value.name in outputs:
            stream.refused = f"output {outputs[value.name]} is the residual stream itself"
            return stream
        for op in (*users[value.name], *filter(None, [producers.get(value.name)])):
            more = _step(stream, op, value)
            if stream.refused:
                return stream
            todo += more
    return stream


def _step(stream: Stream, op: Op, value: Value) -> list[Value]:
    reads = any(o.name == value.name for o in op.operands)
    if op.name == "nn.linear":
        (stream.readers if reads else stream.makers).add(op.result.name)
        return []
    if op.name == "nn.embed":
        stream.makers.add(op.result.name)
        return []
    if op.name in ("nn.add", "nn.scale") or (op.name == "nn.rms_norm" and not op.weights):
        return [*op.operands, op.result]
    why = {
        "nn.layer_norm": "LayerNorm takes the mean, which a rotation moves",
        "nn.rms_norm": "a norm's gain stands in the residual stream (a post-norm, or fold-norms has not run)",
    }.get(op.name, f"{op.name} works channel by channel on the residual stream")
    stream.refused = f"{op.loc.module or op.result}: {why}"
    return []
