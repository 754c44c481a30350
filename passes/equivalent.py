"""Where a scale of channels can move from one layer into another without changing what the block hands on.

A norm, or a linear layer, divides each channel it makes by s; the linear layers that read them have their columns
multiplied by s (SmoothQuant, arXiv 2211.10438; learned in OmniQuant, arXiv 2308.13137, section 3.3). Keys are divided
by what queries are multiplied by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..ir import Op, Program, Value
from ..ir.ops.dense import front_order
from .blocks import Block

T = torch.Tensor


@dataclass
class Scale:
    """A learned scale s of the channels that some linears read, log s f32 [channels of the source].

    `source` is the norm in whose gain, or the linear in whose rows, the division goes; `order` says of each input
    channel of the readers which channel of the source it is. Heads that share values share their scales.
    """

    source: Op
    order: T
    log: T

    def at_source(self) -> T:
        """s in the order of the source's channels."""
        return self.log.exp()

    def at_readers(self) -> T:
        """s in the order of the readers' inputs."""
        return self.log[self.order].exp()


@dataclass
class Balance:
    """A learned scale s that keys are divided by and queries multiplied by, log s f32 [n].

    `of_keys` and `of_queries` say whose s each row of the two matrices has: channels that positions turn into each
    other share one, and so do heads that share keys.
    """

    keys: Op
    queries: Op
    of_keys: T
    of_queries: T
    log: T

    def factor(self, op: Op) -> T | None:
        """What the rows of a linear are multiplied by, if it is one of the two."""
        if op is self.keys:
            return (-self.log[self.of_keys]).exp()
        return self.log[self.of_queries].exp() if op is self.queries else None


def balances(program: Program, block: Block, linears: list[Op]) -> list[Balance]:
    """Scales, all 1, between keys and queries of cached attention whose positions, if any, turn pairs of channels."""
    finder = _Finder(
        {r.name: op for op in block.ops for r in op.results}, {op.result.name for op in linears}, program.users()
    )
    found = (finder.balance(op) for op in block.ops if op.name == "nn.attend")
    return [b for b in found if b is not None]


def sources(program: Program, block: Block, linears: list[Op]) -> dict[str, tuple[Op, list[int]]]:
    """Of inputs of these linears, by name: what makes their channels, and which is which (`Scale.order`).

    That is a norm with a gain, a linear that another value gates, or the linear of attention's values.
    """
    users = program.users()
    finder = _Finder({r.name: op for op in block.ops for r in op.results}, {op.result.name for op in linears}, users)
    found = {}
    for name in dict.fromkeys(op.operands[0].name for op in linears):
        if all(user in linears for user in users[name]):
            width = next(op.operands[0].type.shape[-1] for op in linears if op.operands[0].name == name)
            assert isinstance(width, int)
            made = finder.source(name, width)
            if made is not None:
                found[name] = made
    return found


class _Finder:
    """Walks from a linear's input back to what makes its channels."""

    def __init__(self, makers: Mapping[str, Op], linears: set[str], users: Mapping[str, list[Op]]) -> None:
        self._makers, self._linears, self._users = makers, linears, users

    def _alone(self, value: Value) -> Op | None:
        """What makes a value that one op reads."""
        return self._makers.get(value.name) if len(self._users[value.name]) == 1 else None

    def _linear(self, value: Value) -> Op | None:
        maker = self._alone(value)
        return maker if maker is not None and maker.result.name in self._linears else None

    def source(self, name: str, width: int) -> tuple[Op, list[int]] | None:
        maker, order = self._makers.get(name), list(range(width))
        if maker is not None and maker.name == "nn.set_apart" and not maker.attrs["back"]:
            order = front_order(maker.attrs["channels"], width)
            maker = self._alone(maker.operands[0])
        if maker is None:
            return None
        if maker.name == "nn.rms_norm" and maker.weights:
            return maker, order
        if maker.name == "nn.mul":
            up = next((found for o in maker.operands if (found := self._linear(o)) is not None), None)
            return (up, order) if up is not None else None
        return self._values(maker, order)

    def _values(self, maker: Op, order: list[int]) -> tuple[Op, list[int]] | None:
        """The linear of values, where a maker is heads joined after attention: weighted sums of tokens keep scales."""
        attend = self._aside(self._back(maker, ["nn.reshape", "nn.permute"]))
        if attend is None or attend.name != "nn.attend" or attend.operands[1] == attend.operands[2]:
            return None
        made = self._projection(self._aside(self._cached(attend.operands[2])))
        if made is None:
            return None
        heads, shared = (o.type.shape[1] for o in attend.operands[:3:2])
        assert isinstance(heads, int)
        assert isinstance(shared, int)
        width = len(order) // heads
        return made, [c // width // (heads // shared) * width + c % width for c in order]

    def balance(self, attend: Op) -> Balance | None:
        if attend.operands[1] == attend.operands[2]:
            return None
        queries, keys = self._aside(self._alone(attend.operands[0])), self._aside(self._cached(attend.operands[1]))
        turned = [op for op in (queries, keys) if op is not None and op.name == "nn.rope"]
        layouts = {op.attrs["layout"] for op in turned}
        if len(turned) == 2 and len(layouts) == 1:
            queries, keys = (self._alone(op.operands[0]) for op in turned)
        elif turned:
            return None
        q, k = self._projection(queries), self._projection(keys)
        heads, shared = (o.type.shape[1] for o in attend.operands[:2])
        width = attend.operands[0].type.shape[3]
        if (
            q is None
            or k is None
            or not (isinstance(heads, int) and isinstance(shared, int) and isinstance(width, int))
        ):
            return None
        channel = torch.arange(width)
        own = {"half": channel % max(width // 2, 1), "interleaved": channel // 2}
        own_s = own[layouts.pop()] if layouts else channel
        count = int(own_s.max()) + 1
        of_keys = (torch.arange(shared)[:, None] * count + own_s).flatten()
        of_queries = (torch.arange(heads)[:, None] // (heads // shared) * count + own_s).flatten()
        return Balance(k, q, of_keys, of_queries, torch.zeros(shared * count))

    def _cached(self, value: Value) -> Op | None:
        """What makes the new part of a cached value."""
        append = self._alone(value)
        return self._alone(append.operands[0]) if append is not None and append.name == "state.append" else None

    def _projection(self, split: Op | None) -> Op | None:
        """The linear whose outputs are split into these heads."""
        made = self._back(split, ["nn.permute", "nn.reshape"])
        return made if made is not None and made.result.name in self._linears else None

    def _aside(self, op: Op | None) -> Op | None:
        """The op, or what is before it where it only moves channels of heads."""
        return self._alone(op.operands[0]) if op is not None and op.name == "nn.set_apart" else op

    def _back(self, op: Op | None, names: list[str]) -> Op | None:
        """What is before a chain of ops of these names, the last one first, each read by the next alone."""
        for name in names:
            if op is None or op.name != name or (name == "nn.permute" and op.attrs["axes"] != (0, 2, 1, 3)):
                return None
            op = self._alone(op.operands[0])
        return op
