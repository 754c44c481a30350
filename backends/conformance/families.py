"""A tiny whole model of each family, built op by op: what sets a family's attention, positions, norms and MLP apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir import (
    CSD,
    GIF,
    Binary,
    Bits,
    DigitRamp,
    Loc,
    Program,
    RowWeight,
    Segment,
    SignedBits,
    Store,
    Tensor,
    Value,
    verify,
)
from .stateful import Stateful
from .toy import HEAD, HEADS, HIDDEN, SHARED, VOCABULARY, WIDTH, Toy

LONGEST = 320  # positions that there are tables for


@dataclass(frozen=True)
class Family:
    """One tiny model. `spikes` are fields of Toy; `dense` leaves every linear layer as it was."""

    name: str
    norm: str = "rms"
    gain_offset: float = 0.0
    rope: str = "half"  # half, interleaved, or none
    turned: int = HEAD  # channels of a head that are turned
    table: int = -1  # offset into a table of positions; -1: there is none
    alibi: bool = False
    window: int = 0
    windows: str = "all"  # layers that have the window: all, or even ones
    softcap: float = 0.0
    final_cap: float = 0.0
    bias: bool = False
    head_norm: bool = False
    shared: int = SHARED
    activation: str = "silu"
    gated: bool = True
    parallel: bool = False
    post_norm: bool = False
    embed_scale: float = 1.0
    causal: bool = True
    spiked_attention: bool = False
    dense: bool = False
    rows: bool = False
    lif: bool = False
    spikes: Mapping[str, Any] = field(default_factory=dict)


_BLOOM: dict[str, Any] = {"rope": "none", "norm": "layer", "bias": True, "gated": False, "activation": "gelu_tanh"}
_MIXED = (Segment(0, 5, CSD(5)), Segment(5, WIDTH, GIF(8, 2, True)))

FAMILIES: tuple[Family, ...] = (
    Family("llama, dense", dense=True),
    Family("llama"),
    Family("llama, spiked attention", spiked_attention=True, spikes={"folded": True}),
    Family("llama, rows on one scale", rows=True, spikes={"code": DigitRamp(6, 4, 10)}),
    Family("mistral", window=3, spikes={"bits": 8}),
    Family("qwen2", bias=True, windows="even", window=4, spikes={"code": Bits(4), "grid": "asymmetric"}),
    Family("qwen3", head_norm=True, spikes={"code": Binary(15), "grid": "offset", "group": 99}),
    Family("gemma2", gain_offset=1.0, embed_scale=4.0, activation="gelu_tanh", softcap=2.0, final_cap=3.0, window=3,
           windows="even", post_norm=True, spikes={"code": SignedBits(5)}),
    Family("gpt2", rope="none", table=0, norm="layer", bias=True, gated=False, activation="gelu_tanh", shared=HEADS,
           spikes={"minimum": True, "code": Bits(4), "grid": "asymmetric"}),
    Family("opt", rope="none", table=2, norm="layer", bias=True, gated=False, activation="relu", shared=HEADS),
    Family("gpt-neox", norm="layer", turned=2, parallel=True, bias=True, gated=False, activation="gelu",
           spiked_attention=True),
    Family("cohere", norm="layer", rope="interleaved", parallel=True, spikes={"code": GIF(4, 3, True)}),
    Family("nemotron", norm="layer", turned=2, gated=False, activation="relu2",
           spikes={"bits": 2, "group": 5, "code": CSD(5)}),
    Family("bloom", **_BLOOM, alibi=True, shared=HEADS),
    Family("bispikclm", lif=True, rope="none"),
    Family("salient channels", spikes={"code": _MIXED}),
    Family("bert", **_BLOOM, table=0, post_norm=True, causal=False, shared=HEADS),
)  # fmt: skip


class _Model(Toy):
    """A model of a family being built."""

    def __init__(self, family: Family) -> None:
        super().__init__(**family.spikes)
        self.family = family

    def matrix(self, name: str, out: int, width: int) -> str:
        if not self.family.rows:
            return super().matrix(name, out, width)
        of = RowWeight(4, 8, (out, width))
        each = (out, of.groups)
        parts: dict[str, Any] = {
            "codes": self.rng.integers(0, 16, of.shape).astype(np.int8),
            "steps": self.rng.integers(1, 60, each).astype(np.uint8),
            "offsets": self.rng.integers(-300, 0, each).astype(np.int16),
            "scales": self.rng.uniform(1e-3, 2e-3, (out, 1)).astype(np.float32),
        }
        return self.builder.weight(self.store.put(name, of, parts))

    def linear(self, encoded: tuple[Value, ...], module: str, out: int) -> Value:
        """A linear layer over encoded inputs, or over plain ones where the model is dense."""
        loc = Loc(module, ("modeling_tiny.py:1",))
        if self.family.dense:
            weight = self.floats(f"{module}.weight", out, int(encoded[0].type.shape[-1]))
            made = self.builder.one("nn.linear", encoded[0], weights=[weight], loc=loc)
        else:
            made = super().linear(encoded, module, out)
        if not self.family.bias:
            return made
        return self.builder.one("nn.bias", made, weights=[self.floats(f"{module}.bias", out)], loc=loc)

    def encode(self, x: Value, module: str, **rule: Any) -> tuple[Value, ...]:
        if self.family.dense:
            return (x,)
        codes = self.code
        if isinstance(codes, tuple):  # the last segment takes what is left of another width
            width = int(x.type.shape[-1])
            rule["code"] = (*codes[:-1], Segment(codes[-1].start, width, codes[-1].code))
            return self.builder.op("spike.encode", x, grid=self.grid, loc=Loc(module), **rule)
        return super().encode(x, module, **rule)

    def norm(self, x: Value, module: str) -> Value:
        f, gain = self.family, self.floats(f"{module}.weight", WIDTH, around=1.0)
        if f.norm == "rms":
            rule = {"eps": 0.05, "gain_offset": f.gain_offset}
            return self.builder.one("nn.rms_norm", x, weights=[gain], loc=Loc(module), **rule)
        weights = [gain, self.floats(f"{module}.bias", WIDTH)] if f.bias else [gain]
        return self.builder.one("nn.layer_norm", x, weights=weights, eps=0.05, loc=Loc(module))

    def turn(self, x: Value, positions: Value, weight: str) -> Value:
        """Rotary positions on some or all channels of a head."""
        f, b, loc = self.family, self.builder, Loc("rotary")
        if f.turned == HEAD:
            return b.one("nn.rope", x, positions, weights=[weight], layout=f.rope, loc=loc)
        first = b.one("nn.slice", x, axis=3, start=0, stop=f.turned, loc=loc)
        rest = b.one("nn.slice", x, axis=3, start=f.turned, stop=HEAD, loc=loc)
        return b.one("nn.concat", b.one("nn.rope", first, positions, weights=[weight], loc=loc), rest, axis=3, loc=loc)

    def attention(self, x: Value, positions: Value, mask: Value, layer: int) -> Value:
        """One attention layer, from the normed stream to what is added to it."""
        f, b, at = self.family, self.builder, f"layers.{layer}.attn"
        encoded = self.encode(x, at)
        q = self.heads(self.linear(encoded, f"{at}.q", WIDTH), HEADS)
        k, v = (self.heads(self.linear(encoded, f"{at}.{part}", f.shared * HEAD), f.shared) for part in "kv")
        if f.head_norm:
            gains = [self.floats(f"{at}.{part}_norm", HEAD, around=1.0) for part in "qk"]
            rule = {"eps": 0.05, "loc": Loc(at)}
            q, k = (b.one("nn.rms_norm", x, weights=[gain], **rule) for x, gain in zip((q, k), gains, strict=True))
        if f.rope != "none":
            if "inv_freq" not in b.weights:
                turns = 100.0 ** -np.linspace(0, 1, f.turned // 2)
                b.weight(self.store.put_float("inv_freq", turns))
            q, k = (self.turn(part, positions, "inv_freq") for part in (q, k))
        if f.spiked_attention:
            y = self.attend_in_spikes(q, k, v, mask, at)
        else:
            window = f.window if f.windows == "all" or layer % 2 == 0 else 0
            rule = {"window": window, "softcap": f.softcap, "alibi": f.alibi, "causal": f.causal}
            past = (self.kept(k, f"{at}.k"), self.kept(v, f"{at}.v")) if f.causal else (k, v)
            y = b.one("nn.attend", q, *past, mask, scale=HEAD**-0.5, loc=Loc(at), **rule)
        joined = b.one("nn.reshape", b.one("nn.permute", y, axes=(0, 2, 1, 3)), shape=("B", "S", WIDTH))
        return self.linear(self.encode(joined, f"{at}.o"), f"{at}.o", WIDTH)

    def mlp(self, x: Value, layer: int) -> Value:
        """One MLP, from the normed stream to what is added to it."""
        f, b, at = self.family, self.builder, f"layers.{layer}.mlp"
        encoded = self.encode(x, at)
        inner = b.one("nn.activation", self.linear(encoded, f"{at}.up", HIDDEN), kind=f.activation, loc=Loc(at))
        if f.gated:
            inner = b.one("nn.mul", inner, self.linear(encoded, f"{at}.gate", HIDDEN), loc=Loc(at))
        return self.linear(self.encode(inner, f"{at}.down"), f"{at}.down", WIDTH)

    def layer(self, x: Value, positions: Value, mask: Value, layer: int) -> Value:
        """One layer: norms before the parts or after them, one part after the other or side by side."""
        f, b, at = self.family, self.builder, f"layers.{layer}"
        if f.lif:
            return Stateful(self, at).whole(x, mask)
        if f.parallel:
            y = self.norm(x, f"{at}.norm")
            both = b.one("nn.add", self.attention(y, positions, mask, layer), self.mlp(y, layer), loc=Loc(at))
            return b.one("nn.add", x, both, loc=Loc(at))
        for number in range(2):
            name = f"{at}.norm{number}"
            after = f.post_norm and not f.causal  # BERT: the sum is normed
            y = x if after else self.norm(x, name)
            y = self.mlp(y, layer) if number else self.attention(y, positions, mask, layer)
            if after:
                x = self.norm(b.one("nn.add", x, y, loc=Loc(at)), name)
                continue
            x = b.one("nn.add", x, self.norm(y, f"{name}.after") if f.post_norm else y, loc=Loc(at))
        return x

    def embed(self, ids: Value, positions: Value) -> Value:
        """Tokens, their positions, and the token types of an encoder."""
        f, b, loc = self.family, self.builder, Loc("embed")
        x = b.one("nn.embed", ids, weights=[self.floats("embed.weight", VOCABULARY, WIDTH)], loc=loc)
        if f.embed_scale != 1.0:
            x = b.one("nn.scale", x, by=f.embed_scale, loc=loc)
        if f.table >= 0:
            table = self.floats("positions.weight", LONGEST + f.table, WIDTH)
            x = b.one("nn.add", x, b.one("nn.embed", positions, weights=[table], offset=f.table, loc=loc), loc=loc)
        if not f.causal:
            types = b.input("types", Tensor("i64", ("B", "S")))
            x = b.one("nn.add", x, b.one("nn.embed", types, weights=[self.floats("types.weight", 2, WIDTH)]), loc=loc)
        return x

    def outputs(self, x: Value) -> dict[str, Value]:
        """Logits, or what an encoder gives."""
        f, b = self.family, self.builder
        if f.causal:
            logits = b.one("nn.linear", self.norm(x, "norm"), weights=["embed.weight"], loc=Loc("head"))
            return {"logits": b.one("nn.softcap", logits, cap=f.final_cap) if f.final_cap else logits}
        first = b.one(
            "nn.reshape", b.one("nn.slice", x, axis=1, start=0, stop=1), shape=("B", WIDTH), loc=Loc("pooler")
        )
        pooled = b.one("nn.linear", first, weights=[self.floats("pooler.weight", WIDTH, WIDTH)], loc=Loc("pooler"))
        return {"hidden": x, "pooled": b.one("nn.activation", pooled, kind="tanh", loc=Loc("pooler"))}


def tiny_model(family: Family, layers: int = 2) -> tuple[Program, Store]:
    """A model of that family, with its weights: ids i64[B,S] to logits f32[B,S,37], or an encoder's hidden states."""
    m = _Model(family)
    ids, positions = (m.builder.input(name, Tensor("i64", ("B", "S"))) for name in ("ids", "positions"))
    mask = m.builder.input("mask", Tensor("i64", ("B", "P+S" if family.causal else "S")))
    x = m.embed(ids, positions)
    for layer in range(layers):
        x = m.layer(x, positions, mask, layer)
    meta = {"causal": family.causal, "family": family.name}
    if family.table >= 0:
        meta["max_positions"] = LONGEST
    return verify(m.builder.program(m.outputs(x), meta)), m.store
