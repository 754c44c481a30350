"""Ops that become one kernel call: linear layers on one encoded input, and attention on spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...ir import GridWeight, Ints, Op, Program, RowWeight, Spikes, Value
from .pack import Linear

ACTS = ("silu", "gelu", "gelu_tanh", "relu", "relu2", "tanh", "sigmoid", "quick_gelu")


@dataclass
class Part:
    """One matrix of a linear group, from its spike.linear to its result."""

    linear: Op
    read_out: Op
    ops: list[Op]
    result: Value
    weight: str
    bias: str | None
    act: str = ""


@dataclass
class LinearGroup:
    """Linear layers that read the same counts. `gated`: the first, through its function, times the second."""

    parts: list[Part]
    counts: Value
    scale: Value
    zero: Value | None
    gated: Op | None = None

    @property
    def ops(self) -> list[Op]:
        return [op for p in self.parts for op in p.ops] + ([self.gated] if self.gated else [])


@dataclass
class SpikedAttention:
    """Softmax attention whose products are driven by spikes, from the queries to the mixed values."""

    query: Value
    keys: Value
    values: Value
    key_scale: Value
    value_scale: Value
    mask: Value
    scale: float
    softmax: Op
    scores: Op
    mixed: Op
    result: Value
    ops: list[Op]
    q_top: int = 127
    p_top: int = 255


@dataclass
class Fused:
    """What was found: by the position of the op where its call stands, and all ops that are no calls of their own."""

    at: dict[int, LinearGroup | SpikedAttention] = field(default_factory=dict)
    inside: set[int] = field(default_factory=set)  # id of ops
    centred: set[str] = field(default_factory=set)  # counts that are kept less their zero points


class _Reader:
    """Who makes and who reads a value."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.users: Mapping[str, list[Op]] = program.users()
        self.makers: Mapping[str, Op] = program.producers()
        self.outputs = {v.name for v in program.outputs.values()}

    def only_user(self, value: Value) -> Op | None:
        """The one op that reads a value, if there is only one and it is no output."""
        users = self.users[value.name]
        return users[0] if len(users) == 1 and value.name not in self.outputs else None

    def made_by(self, value: Value, name: str) -> Op | None:
        """The op of that name that makes a value which nothing else reads."""
        op = self.makers.get(value.name)
        return op if op is not None and op.name == name and self.only_user(value) is not None else None


def find(program: Program, kernel: str) -> Fused:
    """All groups of a program."""
    reader, fused = _Reader(program), Fused()
    place = {id(op): i for i, op in enumerate(program.ops)}
    for group in _linear_groups(reader):
        fused.at[min(place[id(p.linear)] for p in group.parts)] = group
        fused.inside |= {id(op) for op in group.ops}
    for op in program.ops:
        if op.name == "spike.read_matmul" and (found := _attention(reader, op)) is not None:
            fused.at[place[id(op)]] = found
            fused.inside |= {id(o) for o in found.ops}
    if kernel in ("auto", "dense"):
        fused.centred = _centred(reader, fused)
    return fused


def _part(reader: _Reader, linear: Op) -> tuple[Part, Value, Value | None] | None:
    """A linear layer from its spike.linear on, its scale and zero point; None if its ops are used otherwise."""
    of = reader.program.weights[linear.weights[0]].type
    counts = linear.operands[0].type
    flat = isinstance(counts, Spikes) and len(counts.shape) == 3 and counts.shape[:2] == ("B", "S")
    if not isinstance(of, GridWeight | RowWeight) or not flat:
        return None
    ops, zero, now = [linear], None, reader.only_user(linear.result)
    if now is not None and now.name == "spike.center":
        ops.append(now)
        zero, now = now.operands[1], reader.only_user(now.result)
    if now is None or now.name != "spike.read_out" or now.weights[0] != linear.weights[0]:
        return None
    if len(now.operands) == 3:
        sums = reader.made_by(now.operands[2], "spike.sum")
        if sums is None or sums.operands != ((linear.operands[0], zero) if zero else (linear.operands[0],)):
            return None
        ops.append(sums)
    ops.append(now)
    bias = now.weights[1] if len(now.weights) == 2 else None
    return Part(linear, now, ops, now.result, linear.weights[0], bias), now.operands[1], zero


def _alike(a: Linear, b: Linear) -> bool:
    """Whether two matrices fit into one call."""
    if isinstance(a, GridWeight) and isinstance(b, GridWeight):
        return (a.bits, a.group, a.minimum, a.shape[1]) == (b.bits, b.group, b.minimum, b.shape[1])
    if isinstance(a, RowWeight) and isinstance(b, RowWeight):
        return (a.bits, a.group, a.shape[1]) == (b.bits, b.group, b.shape[1])
    return False


def _linear_groups(reader: _Reader) -> list[LinearGroup]:
    weights = reader.program.weights
    groups: list[LinearGroup] = []
    for op in reader.program.ops:
        found = _part(reader, op) if op.name == "spike.linear" else None
        if found is None:
            continue
        part, scale, zero = found
        for group in groups:
            same = (group.counts, group.scale, group.zero) == (op.operands[0], scale, zero)
            first, own = weights[group.parts[0].weight].type, weights[part.weight].type
            assert isinstance(first, GridWeight | RowWeight)
            assert isinstance(own, GridWeight | RowWeight)
            if same and _alike(first, own):
                group.parts.append(part)
                break
        else:
            groups.append(LinearGroup([part], op.operands[0], scale, zero))
    for group in groups:
        _gate(reader, group)
    return groups


def _gate(reader: _Reader, group: LinearGroup) -> None:
    """Take the function after the one matrix, or the gate and product of two, into the call."""
    acts = [reader.only_user(p.result) for p in group.parts]
    first = acts[0]
    if len(group.parts) == 1 and first is not None and first.name == "nn.activation":
        part = group.parts[0]
        part.ops.append(first)
        part.act, part.result = str(first.attrs["kind"]), first.result
    if len(group.parts) != 2:
        return
    for gate, up in ((0, 1), (1, 0)):
        act = acts[gate]
        product = reader.only_user(act.result) if act is not None and act.name == "nn.activation" else None
        same = group.parts[gate].result.type == group.parts[up].result.type
        if act is not None and product is not None and product.name == "nn.mul" and product is acts[up] and same:
            group.parts = [group.parts[gate], group.parts[up]]
            group.parts[0].ops.append(act)
            group.parts[0].act, group.gated = str(act.attrs["kind"]), product
            return


def _centred(reader: _Reader, fused: Fused) -> set[str]:
    """Counts that only linear groups with one zero point read: kept less that, they need no centring."""
    groups = [g for g in fused.at.values() if isinstance(g, LinearGroup)]
    found: set[str] = set()
    for group in groups:
        name = group.counts.name
        of = group.counts.type
        assert isinstance(of, Spikes)
        maker = reader.makers.get(name)
        encoded = maker is not None and maker.name == "spike.encode" and group.zero is not None
        small = all(s.code.hi <= 127 for s in of.segments)
        inside = all(id(op) in fused.inside for op in reader.users[name])
        same = all(g.zero == group.zero for g in groups if g.counts == group.counts)
        if encoded and small and inside and same and name not in reader.outputs:
            found.add(name)
    return found


def _scale_row(reader: _Reader, row: Value) -> tuple[Value, list[Op]] | None:
    """Scales by key [B,H,1,P+S] back to those of the cache [B,Hkv,P+S,1]."""
    ops: list[Op] = []
    repeat = reader.made_by(row, "nn.repeat")
    if repeat is not None and repeat.attrs["axis"] == 1:
        ops.append(repeat)
        row = repeat.operands[0]
    turned = reader.made_by(row, "nn.permute")
    if turned is None or tuple(turned.attrs["axes"]) != (0, 1, 3, 2):
        return None
    return turned.operands[0], [*ops, turned]


def _narrow(reader: _Reader, value: Value) -> bool:
    """Whether a value is the cache of keys or values: appended to a state, in counts of 8 bits."""
    maker = reader.makers.get(value.name)
    of = value.type
    kept = maker is not None and maker.name == "state.append" and maker.attrs["axis"] == 2 and len(of.shape) == 4
    return kept and (not isinstance(of, Spikes) or all(s.code.lo >= -128 and s.code.hi <= 127 for s in of.segments))


def _encoded(reader: _Reader, product: Op, scale: Value, signed: bool) -> Op | None:
    """The int.encode of a product's integers, if its scale is the given one and both are read by this alone."""
    maker = reader.makers.get(product.operands[0].name)
    if maker is None or maker.name != "int.encode" or len(maker.results) != 2 or maker.results[1] != scale:
        return None
    of = maker.results[0].type
    alone = all(reader.only_user(r) is not None for r in maker.results)
    fits = isinstance(of, Ints) and of.signed == signed and of.bits <= 8
    return maker if alone and fits else None


def _attention(reader: _Reader, last: Op) -> SpikedAttention | None:
    """The attention that ends in this read_matmul, or None."""
    mixed = reader.made_by(last.operands[0], "spike.matmul")
    if mixed is None or len(last.operands) != 2 or mixed.attrs["transpose"]:
        return None
    integers = _encoded(reader, mixed, last.operands[1], False)
    product = reader.made_by(integers.operands[0], "nn.mul") if integers is not None else None
    softmax = reader.made_by(product.operands[0], "nn.softmax") if product is not None else None
    if integers is None or product is None or softmax is None:
        return None
    ops = [last, mixed, integers, product, softmax]
    scaled, by = softmax.operands[0], 1.0
    scale = reader.made_by(scaled, "nn.scale")
    if scale is not None:
        ops.append(scale)
        scaled, by = scale.operands[0], float(scale.attrs["by"])
    read = reader.made_by(scaled, "spike.read_matmul")
    if read is None or len(read.operands) != 3:
        return None
    scores = reader.made_by(read.operands[0], "spike.matmul")
    queries = _encoded(reader, scores, read.operands[1], True) if scores is not None else None
    rows = [_scale_row(reader, row) for row in (read.operands[2], product.operands[1])]
    if scores is None or queries is None or rows[0] is None or rows[1] is None or not scores.attrs["transpose"]:
        return None
    ops += [read, scores, queries, *rows[0][1], *rows[1][1]]
    keys, values = scores.operands[1], mixed.operands[1]
    if not all(_narrow(reader, v) for v in (keys, values, rows[0][0], rows[1][0])):
        return None
    q, p = queries.results[0].type, integers.results[0].type
    assert isinstance(q, Ints)
    assert isinstance(p, Ints)
    return SpikedAttention(
        queries.operands[0], keys, values, rows[0][0], rows[1][0], softmax.operands[1], by, softmax, scores, mixed,
        last.result, ops, q.top, p.top,
    )  # fmt: skip


__all__ = ["ACTS", "Fused", "LinearGroup", "Part", "SpikedAttention", "find"]
