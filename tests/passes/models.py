"""A small float decoder with everything the passes look for: gains, a tied head, shared heads, RoPE, a gated MLP."""

from __future__ import annotations

import numpy as np
from sdllm.ir import Builder, Loc, Program, Store, Tensor, Value, verify

WIDTH, HEADS, SHARED, HEAD, HIDDEN, ROWS = 24, 4, 2, 8, 48, 40


class _Decoder:
    def __init__(self, outlier: float) -> None:
        self.b, self.store = Builder(), Store()
        self.random = np.random.default_rng(0)
        self.outlier = outlier

    def weight(self, name: str, *shape: int, mean: float = 0.0, std: float | None = None) -> str:
        values = mean + self.random.normal(size=shape) * (std or shape[-1] ** -0.5)
        if name == "embed":
            values[:, 3] *= self.outlier
        return self.b.weight(self.store.put_float(name, values))

    def linear(self, x: Value, name: str, out: int) -> Value:
        width = x.type.shape[-1]
        assert isinstance(width, int)
        names = [self.weight(f"{name}.weight", out, width), self.weight(f"{name}.bias", out, std=0.1)]
        return self.b.one("nn.linear", x, weights=names, loc=Loc(name, ("model.py:1",)))

    def norm(self, x: Value, name: str) -> Value:
        gain = self.weight(name, WIDTH, mean=1.0, std=0.3)
        return self.b.one("nn.rms_norm", x, weights=[gain], eps=1e-5, loc=Loc(name))

    def heads(self, x: Value, count: int) -> Value:
        split = self.b.one("nn.reshape", x, shape=("B", "S", count, HEAD))
        return self.b.one("nn.permute", split, axes=(0, 2, 1, 3))

    def cached(self, x: Value, name: str) -> Value:
        state = self.b.state(name, Tensor("f32", ("B", SHARED, "P", HEAD)))
        return self.b.one("state.append", x, state=state, axis=2)

    def attention(self, x: Value, positions: Value, mask: Value, at: str) -> Value:
        inv = self.b.weights.get("inv")
        name = inv.name if inv else self.b.weight(self.store.put_float("inv", 10.0 ** -np.arange(HEAD // 2)))
        q = self.b.one("nn.rope", self.heads(self.linear(x, f"{at}.q", HEADS * HEAD), HEADS), positions, weights=[name])
        k = self.b.one(
            "nn.rope", self.heads(self.linear(x, f"{at}.k", SHARED * HEAD), SHARED), positions, weights=[name]
        )
        v = self.heads(self.linear(x, f"{at}.v", SHARED * HEAD), SHARED)
        k, v = self.cached(k, f"{at}.kv.k"), self.cached(v, f"{at}.kv.v")
        y = self.b.one("nn.attend", q, k, v, mask, scale=HEAD**-0.5, loc=Loc(at))
        joined = self.b.one("nn.permute", y, axes=(0, 2, 1, 3))
        return self.linear(self.b.one("nn.reshape", joined, shape=("B", "S", HEADS * HEAD)), f"{at}.o", WIDTH)


def decoder(layers: int = 2, outlier: float = 1.0) -> tuple[Program, Store, np.ndarray]:
    """Program, weights, and seeded tokens i64 [4, 20]; `outlier` scales one channel of the embedding."""
    d = _Decoder(outlier)
    ids = d.b.input("ids", Tensor("i64", ("B", "S")))
    positions = d.b.input("positions", Tensor("i64", ("B", "S")))
    mask = d.b.input("mask", Tensor("i64", ("B", "P+S")))
    x = d.b.one("nn.embed", ids, weights=[d.weight("embed", ROWS, WIDTH, std=1.0)], loc=Loc("embed"))
    for layer in range(layers):
        at = f"layers.{layer}"
        x = d.b.one("nn.add", x, d.attention(d.norm(x, f"{at}.norm1"), positions, mask, at))
        h = d.norm(x, f"{at}.norm2")
        gate = d.b.one("nn.activation", d.linear(h, f"{at}.gate", HIDDEN), kind="silu")
        inner = d.b.one("nn.mul", gate, d.linear(h, f"{at}.up", HIDDEN))
        x = d.b.one("nn.add", x, d.linear(inner, f"{at}.down", WIDTH))
    logits = d.b.one("nn.linear", d.norm(x, "norm"), weights=["embed"], loc=Loc("lm_head"))
    tokens = np.random.default_rng(1).integers(0, ROWS, (4, 20))
    return verify(d.b.program({"logits": logits}, {"causal": True})), d.store, tokens
