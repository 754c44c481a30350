"""Embedding tables."""

from __future__ import annotations

from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Any_, Given, Match, MatchFailure, Num, Param, Value
from ..rule import rule
from .calls import add, call, either

_ids = either(add(Value("ids"), Num("offset")), Given(Value("ids"), "offset", 0))


def _whole(m: Match) -> None:
    if not isinstance(m["offset"], int):
        raise MatchFailure(f"the offset {m['offset']} is no integer", m.nodes[0], m.nodes)


@rule(call("embedding", Param("table", axes=2), _ids, Any_()), check=_whole)
def embed(m: Match, out: Emit) -> IRValue:
    """A row for each id; OPT and RoBERTa count positions from an offset."""
    return out.op("nn.embed", m["ids"], weights=[out.weight(m["table"])], offset=m["offset"])


RULES = (embed,)
