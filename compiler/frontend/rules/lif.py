"""Students of BiSpikCLM: their neurons, linears and attention are ops of ours in the graph (bispikclm/graph.py)."""

from __future__ import annotations

from torch.fx import Node

from ....ir import Dim, Train
from ....ir import Value as IRValue
from ..emit import Emit
from ..pattern import Absent, Apply, Given, Match, Num, Nums, Param, Pattern, Value
from ..rule import rule
from .calls import either

X = Value("x")
_bias = either(Param("b", axes=1), Given(Absent(), "b", None))


def _ours(name: str, *args: Pattern) -> Apply:
    return Apply((f"sdllm.lif_{name}.default",), args)


def _train(out: Emit, node: Node) -> Train:
    of = out.values[node].type
    assert isinstance(of, Train)
    return of


@rule(_ours("encode", X, Num("steps"), Num("frac"), Num("beta"), Num("threshold")))
def encode(m: Match, out: Emit) -> IRValue:
    """Where the float residual enters neurons."""
    current = out.op("lif.current", m["x"], T=m["steps"], frac=m["frac"])
    return out.op("lif.fire", current, beta=m["beta"], threshold=m["threshold"])


@rule(_ours("fire", X, Num("frac"), Num("beta"), Num("threshold")))
def fire(m: Match, out: Emit) -> IRValue:
    """Neurons over the current of a linear, or over counts."""
    return out.op("lif.fire", m["x"], beta=m["beta"], threshold=m["threshold"])


@rule(_ours("linear", X, Param("w", axes=2), _bias, Num("frac")))
def linear(m: Match, out: Emit) -> IRValue:
    """Each spike adds a column."""
    biases = [] if m["b"] is None else [out.fixed(m["b"], m["frac"])]
    return out.op("lif.linear", m["x"], weights=[out.fixed(m["w"], m["frac"]), *biases])


@rule(_ours("coincide", Value("q"), Value("k"), Value("mask"), Nums("near"), Nums("far")))
def coincide(m: Match, out: Emit) -> IRValue:
    """Q·Kᵀ under the causal mask and spans; keys are kept as trains."""
    assert out.mask is not None
    k = _keep(out, m["k"], "k")
    return out.op("lif.coincide", m["q"], k, out.mask, causal=True, near=m["near"], far=m["far"])


@rule(_ours("gather", Value("a"), Value("v")))
def gather(m: Match, out: Emit) -> IRValue:
    """A·V; values are kept as trains."""
    v = _keep(out, m["v"], "v")
    out.layers += 1
    return out.op("lif.gather", m["a"], v)


def _keep(out: Emit, node: Node, part: str) -> IRValue:
    of = _train(out, node)
    batch, heads, _, width = of.shape
    state = out.builder.state(f"kv.{out.layers}.{part}", Train(of.steps, (batch, heads, "P", width)))
    return out.op("state.append", node, state=state, axis=2)


@rule(_ours("both", Value("a"), Value("b")))
def both(m: Match, out: Emit) -> IRValue:
    """A binary gate."""
    return out.op("lif.both", m["a"], m["b"])


@rule(_ours("split", X, Num("heads")))
def split(m: Match, out: Emit) -> IRValue:
    """[B,S,H·D] to [B,H,S,D]."""
    *tokens, width = _train(out, m["x"]).shape
    assert isinstance(width, int)
    shape: tuple[Dim, ...] = (*tokens, m["heads"], width // m["heads"])
    return out.op("lif.reshape", m["x"], shape=shape, axes=(0, 2, 1, 3))


@rule(_ours("join", X))
def join(m: Match, out: Emit) -> IRValue:
    """[B,H,S,D] to [B,S,H·D]."""
    batch, heads, tokens, width = (of := _train(out, m["x"])).shape
    assert isinstance(heads, int)
    assert isinstance(width, int)
    turned = out.op("lif.reshape", m["x"], shape=of.shape, axes=(0, 2, 1, 3))
    return out.op("lif.reshape", turned, shape=(batch, tokens, heads * width))


@rule(_ours("mean", X))
def mean(m: Match, out: Emit) -> IRValue:
    """Back into the float residual."""
    return out.op("lif.mean", m["x"])


RULES = (encode, fire, linear, coincide, gather, both, split, join, mean)
