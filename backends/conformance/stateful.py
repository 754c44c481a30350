"""A layer of stateful neurons over a float residual stream: binary attention and MLP, as BiSpikCLM has them."""

from __future__ import annotations

from typing import Any

from ...ir import FixedWeight, Loc, Train, Value
from .probe import random_weight
from .toy import HEAD, HEADS, HIDDEN, WIDTH, Toy

STEPS, FRAC = 4, 12
NEURONS = {"beta": 230, "threshold": 2867}  # 0.9 in 256ths, 0.7 in 4096ths


class Stateful:
    """One layer of a model that is being built."""

    def __init__(self, toy: Toy, at: str) -> None:
        self.toy, self.at, self.loc = toy, at, Loc(at, ("modeling_tiny.py:2",))

    def do(self, name: str, *operands: Value, **rest: Any) -> Value:
        return self.toy.builder.one(name, *operands, loc=self.loc, **rest)

    def enter(self, x: Value) -> Value:
        """Floats held as a current, and what neurons make of it."""
        return self.do("lif.fire", self.do("lif.current", x, T=STEPS, frac=FRAC), **NEURONS)

    def linear(self, train: Value, name: str, out: int) -> Value:
        """Neurons after a linear layer."""
        kinds = (FixedWeight(FRAC, (out, int(train.type.shape[-1]))), FixedWeight(FRAC, (out,)))
        store, b = self.toy.store, self.toy.builder
        made = [store.put(f"{self.at}.{name}.{i}", of, random_weight(of, self.toy.rng)) for i, of in enumerate(kinds)]
        current = self.do("lif.linear", train, weights=[b.weight(w) for w in made])
        return self.do("lif.fire", current, **NEURONS)

    def heads(self, train: Value) -> Value:
        return self.do("lif.reshape", train, shape=("B", "S", HEADS, HEAD), axes=(0, 2, 1, 3))

    def kept(self, train: Value, name: str) -> Value:
        """The cache: trains."""
        state = self.toy.builder.state(f"{self.at}.{name}", Train(STEPS, ("B", HEADS, "P", HEAD)))
        return self.do("state.append", train, state=state, axis=2)

    def attention(self, x: Value, mask: Value) -> Value:
        entered = self.enter(x)
        q, k, v = (self.heads(self.linear(entered, name, WIDTH)) for name in "qkv")
        scores = self.do("lif.coincide", q, self.kept(k, "k"), mask)
        met = self.do("lif.fire", scores, beta=NEURONS["beta"], threshold=1)
        gathered = self.do("lif.fire", self.do("lif.gather", met, self.kept(v, "v")), **{**NEURONS, "threshold": 1})
        turned = self.do("lif.reshape", gathered, shape=gathered.type.shape, axes=(0, 2, 1, 3))
        joined = self.do("lif.reshape", turned, shape=("B", "S", WIDTH))
        return self.do("nn.add", x, self.do("lif.mean", self.linear(joined, "o", WIDTH)))

    def whole(self, x: Value, mask: Value) -> Value:
        """Attention, then MLP."""
        x = self.attention(x, mask)
        inner = self.linear(self.linear(self.enter(x), "up", HIDDEN), "down", WIDTH)
        return self.do("nn.add", x, self.do("lif.mean", inner))
