"""Attention: our op, its mask read back, and the state that makes one graph serve prefill and decode."""

from __future__ import annotations

from torch.fx import Node

from ....ir import Tensor as IRTensor
from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Any_, Apply, Match, Num, Value
from ..rule import rule

_mask = Apply(("sdllm.mask.default",), (Any_(), Num("mask")))


@rule(Apply(("sdllm.attend.default",), (Value("q"), Value("k"), Value("v"), _mask, Num("scale"), Num("softcap"), Num("alibi"))))  # fmt: skip  # noqa: E501
def attend(m: Match, out: Emit) -> IRValue:
    """Causal layers keep their keys and values in states `kv.N.k` and `kv.N.v`; others have none."""
    hides = out.masks[m["mask"]]
    k, v = (_keep(out, m[part], part) if hides.causal else m[part] for part in ("k", "v"))
    out.layers += 1
    assert out.mask is not None
    return out.op(
        "nn.attend", m["q"], k, v, out.mask, scale=float(m["scale"]), causal=hides.causal, window=hides.window,
        softcap=float(m["softcap"]), alibi=bool(m["alibi"]),
    )  # fmt: skip


def _keep(out: Emit, node: Node, part: str) -> IRValue:
    batch, heads, _, width = out.dims(node)
    state = out.builder.state(f"kv.{out.layers}.{part}", IRTensor("f32", (batch, heads, "P", width)))
    return out.op("state.append", node, state=state, axis=2)


RULES = (attend,)
