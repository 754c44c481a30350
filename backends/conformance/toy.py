"""A small whole decoder, built op by op, whose spikes can be chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir import (
    Builder,
    Code,
    GridWeight,
    Loc,
    Program,
    Spikes,
    Store,
    Tensor,
    Ternary,
    Type,
    Value,
    verify,
)
from ...ir.types import Segments

VOCABULARY, WIDTH, HIDDEN, HEADS, SHARED, HEAD = 37, 16, 24, 4, 2, 4


@dataclass
class Toy:
    """A decoder being built: RMS norms, rotary attention with shared heads, a gated MLP, spikes before every linear."""

    code: Code | Segments = field(default_factory=lambda: Ternary(7))
    grid: str = "symmetric"
    bits: int = 4
    group: int = 8
    minimum: bool = False
    seed: int = 0
    vocabulary: int = VOCABULARY
    folded: bool = False  # spiked values have a scale a token, folded into the probabilities

    def __post_init__(self) -> None:
        self.builder = Builder()
        self.store = Store()
        self.rng = np.random.default_rng(self.seed)

    def floats(self, name: str, *shape: int, around: float = 0.0) -> str:
        """A float weight."""
        values = self.rng.normal(around, 0.3, shape).astype(np.float32)
        return self.builder.weight(self.store.put_float(name, values))

    def matrix(self, name: str, out: int, width: int) -> str:
        """A weight on the grid."""
        of = GridWeight(self.bits, min(self.group, width), self.minimum, (out, width))
        low, high = of.range
        parts: dict[str, Any] = {
            "codes": self.rng.integers(low, high + 1, of.shape).astype(np.int8),
            "scales": self.rng.uniform(0.02, 0.08, (out, of.groups)).astype(np.float16),
        }
        if self.minimum:
            parts["minima"] = self.rng.uniform(-0.5, 0.0, (out, of.groups)).astype(np.float16)
        return self.builder.weight(self.store.put(name, of, parts))

    def encode(self, x: Value, module: str, **rule: Any) -> tuple[Value, ...]:
        """Counts, scale and, off the symmetric grid, zero point."""
        return self.builder.op("spike.encode", x, code=self.code, grid=self.grid, loc=Loc(module), **rule)

    def linear(self, encoded: tuple[Value, ...], module: str, out: int) -> Value:
        """A spiked linear layer over encoded inputs."""
        b, (n, v, *zero) = self.builder, encoded
        loc = Loc(module, ("modeling_toy.py:1",))
        weight = self.matrix(f"{module}.weight", out, int(n.type.shape[-1]))
        m = b.one("spike.linear", n, weights=[weight], loc=loc)
        if zero:
            m = b.one("spike.center", m, zero[0], weights=[weight], loc=loc)
        sums = [b.one("spike.sum", n, *zero, weights=[weight], loc=loc)] if self.minimum else []
        return b.one("spike.read_out", m, v, *sums, weights=[weight], loc=loc)

    def norm(self, x: Value, module: str) -> Value:
        """An RMS norm with a gain."""
        gain = self.floats(f"{module}.weight", WIDTH, around=1.0)
        return self.builder.one("nn.rms_norm", x, weights=[gain], eps=1e-5, loc=Loc(module))

    def heads(self, x: Value, heads: int) -> Value:
        """[B,S,H·D] to [B,H,S,D]."""
        split = self.builder.one("nn.reshape", x, shape=("B", "S", heads, HEAD))
        return self.builder.one("nn.permute", split, axes=(0, 2, 1, 3))

    def kept(self, x: Value, name: str) -> Value:
        """All entries of a value over time, past ones from the state."""
        past = tuple("P" if d == "S" else d for d in x.type.shape)
        of: Type = Spikes(x.type.segments, past) if isinstance(x.type, Spikes) else Tensor("f32", past)
        return self.builder.one("state.append", x, axis=2, state=self.builder.state(name, of))

    def attend(self, q: Value, k: Value, v: Value, mask: Value, module: str) -> Value:
        """Dense attention over the cache."""
        past = (self.kept(k, f"{module}.k"), self.kept(v, f"{module}.v"))
        return self.builder.one("nn.attend", q, *past, mask, scale=HEAD**-0.5, loc=Loc(module))

    def attend_in_spikes(self, q: Value, k: Value, v: Value, mask: Value, module: str) -> Value:
        """The same with spikes for keys and values, and spikes in the cache; V has a static scale, K one a token."""
        b, code = self.builder, Ternary(7)
        kn, ks = b.op("spike.encode", k, code=code)
        rule: dict[str, Any] = {} if self.folded else {"threshold": "static", "factor": 0.25}
        vn, vs = b.op("spike.encode", v, code=code, **rule)
        kn, ks, vn = (self.kept(x, f"{module}.{name}") for x, name in ((kn, "k"), (ks, "k.scale"), (vn, "v")))
        qi, qs = b.op("int.encode", q, bits=8)
        m = b.one("spike.matmul", qi, kn, transpose=True, loc=Loc(f"{module}.scores"))
        scores = b.one("nn.scale", b.one("spike.read_matmul", m, qs, self.by_head(ks)), by=HEAD**-0.5)
        p = b.one("nn.softmax", scores, mask)
        p = b.one("nn.mul", p, self.by_head(self.kept(vs, f"{module}.v.scale"))) if self.folded else p
        pi, ps = b.op("int.encode", p, bits=8, signed=False)
        m = b.one("spike.matmul", pi, vn, loc=Loc(f"{module}.values"))
        y = b.one("spike.read_matmul", m, ps)
        return y if self.folded else b.one("nn.scale", y, by=0.25)

    def by_head(self, scale: Value) -> Value:
        """Scales of shared keys [B,Hkv,P+S,1] as a row for each head."""
        row = self.builder.one("nn.permute", scale, axes=(0, 1, 3, 2))
        return self.builder.one("nn.repeat", row, axis=1, times=HEADS // SHARED)


def toy_decoder(layers: int = 2, *, spiked_attention: bool = False, **choices: Any) -> tuple[Program, Store]:
    """A decoder of ids, positions and mask to logits f32[B,S,V], with its weights; choices are Toy's fields, V 37 or
    `vocabulary` of them."""
    toy = Toy(**choices)
    b = toy.builder
    ids, positions = (b.input(name, Tensor("i64", ("B", "S"))) for name in ("ids", "positions"))
    mask = b.input("mask", Tensor("i64", ("B", "P+S")))
    table = toy.floats("embed.weight", toy.vocabulary, WIDTH)
    turn = b.weight(toy.store.put_float("inv_freq", 100.0 ** -np.linspace(0, 1, HEAD // 2)))
    x = b.one("nn.embed", ids, weights=[table])
    attend = toy.attend_in_spikes if spiked_attention else toy.attend
    for layer in range(layers):
        at = f"layers.{layer}.attn"
        encoded = toy.encode(toy.norm(x, f"layers.{layer}.norm1"), at)
        q = toy.heads(toy.linear(encoded, f"{at}.q", WIDTH), HEADS)
        k, v = (toy.heads(toy.linear(encoded, f"{at}.{part}", SHARED * HEAD), SHARED) for part in "kv")
        q, k = (b.one("nn.rope", part, positions, weights=[turn]) for part in (q, k))
        mixed = b.one("nn.permute", attend(q, k, v, mask, at), axes=(0, 2, 1, 3))
        mixed = b.one("nn.reshape", mixed, shape=("B", "S", WIDTH))
        x = b.one("nn.add", x, toy.linear(toy.encode(mixed, f"{at}.o"), f"{at}.o", WIDTH))
        encoded = toy.encode(toy.norm(x, f"layers.{layer}.norm2"), f"layers.{layer}.mlp")
        gate, up = (toy.linear(encoded, f"layers.{layer}.mlp.{part}", HIDDEN) for part in ("gate", "up"))
        inner = b.one("nn.mul", b.one("nn.activation", gate, kind="silu"), up)
        down = f"layers.{layer}.mlp.down"
        x = b.one("nn.add", x, toy.linear(toy.encode(inner, down), down, WIDTH))
    logits = b.one("nn.linear", toy.norm(x, "norm"), weights=[table], loc=Loc("head"))
    return verify(b.program({"logits": logits}, {"causal": True})), toy.store
