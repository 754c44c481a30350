"""Float kernels against their equations, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sdllm.ir import FloatWeight, Tensor, verify
from sdllm.ir.interpreter import Interpreter

from .samples import World, f32, random_value


def call(name: str, *types: Tensor, weights: tuple = (), past: int = 0, **attrs):
    """Result, operands and weights of one op on random operands, in float64."""
    world = World()
    rng = np.random.default_rng(11)
    dims = {"B": 2, "S": 3, "P": past}
    inputs = [world.input(f"x{i}", t) for i, t in enumerate(types)]
    made = [world.parameter(FloatWeight(w)) for w in weights]
    world.op(name, *inputs, weights=made, **attrs)
    given = {v.name: random_value(v.type, rng, dims) for v in world.inputs}
    (y,) = Interpreter(verify(world.finish()), world.store).run(given).values()
    floats = [world.store.floats(world.weights[w]).astype(np.float64) for w in made]
    return y.numpy(), [given[v.name].double().numpy() for v in inputs], floats


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5)


X = f32("B", "S", 6)


def test_embed_linear_bias_scale() -> None:
    y, (ids,), (table,) = call("nn.embed", Tensor("i64", ("B", "S")), weights=((9, 6),), offset=2)
    assert close(y, table[ids.astype(int) + 2])
    y, (x,), (w, b) = call("nn.linear", X, weights=((5, 6), (5,)))
    assert close(y, x @ w.T + b)
    y, (x,), (b,) = call("nn.bias", X, weights=((6,),))
    assert close(y, x + b)
    y, (x,), _ = call("nn.scale", X, by=-0.3)
    assert close(y, x * -0.3)


def test_norms() -> None:
    y, (x,), (g,) = call("nn.rms_norm", X, weights=((6,),), eps=0.1, gain_offset=1.0)
    assert close(y, x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.1) * (1 + g))
    y, (x,), _ = call("nn.rms_norm", X, eps=0.1)
    assert close(y, x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.1))

    def normal(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.1)

    y, (x,), (g, b) = call("nn.layer_norm", X, weights=((6,), (6,)), eps=0.1)
    assert close(y, normal(x) * g + b)
    y, (x,), (g,) = call("nn.layer_norm", f32("B", 4, "S", 6), weights=((4, 6),), eps=0.1)
    assert close(y, normal(x) * g[:, None])


def test_sums_and_products_broadcast() -> None:
    y, (a, b), _ = call("nn.add", X, f32("B", "S", 1))
    assert close(y, a + b)
    y, (a, b), _ = call("nn.mul", f32(6), X)
    assert close(y, a * b)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("gelu", gelu),
        ("gelu_tanh", lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("relu", lambda x: np.maximum(x, 0)),
        ("relu2", lambda x: np.maximum(x, 0) ** 2),
        ("tanh", np.tanh),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("quick_gelu", lambda x: x / (1 + np.exp(-1.702 * x))),
    ],
)
def test_activations(kind: str, function) -> None:
    y, (x,), _ = call("nn.activation", X, kind=kind)
    assert close(y, function(x))


def test_softcap() -> None:
    y, (x,), _ = call("nn.softcap", X, cap=0.7)
    assert close(y, 0.7 * np.tanh(x / 0.7))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_rope_turns_pairs(layout: str) -> None:
    """Pairs of channels are complex numbers, turned by position · inv_freq."""
    types = (f32("B", 4, "S", 6), Tensor("i64", ("B", "S")))
    y, (x, positions), (frequencies,) = call("nn.rope", *types, weights=((3,),), layout=layout, scaling=0.5)
    first, second = (slice(0, 3), slice(3, 6)) if layout == "half" else (slice(0, 6, 2), slice(1, 6, 2))
    turned = (x[..., first] + 1j * x[..., second]) * 0.5 * np.exp(1j * positions[:, None, :, None] * frequencies)
    assert close(y[..., first], turned.real)
    assert close(y[..., second], turned.imag)


def test_moving_data() -> None:
    x_type = f32("B", 4, "S", 6)
    for name, attrs, moved in (
        ("nn.reshape", {"shape": ("B", 2, 2, "S", 3, 2)}, lambda x: x.reshape(2, 2, 2, 3, 3, 2)),
        ("nn.permute", {"axes": (0, 2, 3, 1)}, lambda x: x.transpose(0, 2, 3, 1)),
        ("nn.set_apart", {"channels": (4, 1)}, lambda x: x[..., [4, 1, 0, 2, 3, 5]]),
        ("nn.set_apart", {"channels": (4, 1), "back": True}, lambda x: x[..., [2, 1, 3, 4, 0, 5]]),
        ("nn.slice", {"axis": 1, "start": 1, "stop": 3}, lambda x: x[:, 1:3]),
        ("nn.slice", {"axis": -1, "start": 4, "stop": 6}, lambda x: x[..., 4:6]),
        ("nn.slice", {"axis": 2, "start": 0, "stop": 1}, lambda x: x[:, :, :1]),
        ("nn.repeat", {"axis": 1, "times": 3}, lambda x: np.repeat(x, 3, axis=1)),
    ):
        y, (x,), _ = call(name, x_type, **attrs)
        assert close(y, moved(x)), name
    y, parts, _ = call("nn.concat", x_type, f32("B", 4, "S", 2), x_type, axis=-1)
    assert close(y, np.concatenate(parts, axis=-1))


def hadamard(size: int) -> np.ndarray:
    """Sylvester's, normalised."""
    h = np.ones((1, 1))
    while len(h) < size:
        h = np.block([[h, h], [h, -h]])
    return h / math.sqrt(size)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_rotate_is_a_kronecker_product(size: int) -> None:
    y, (x,), (f,) = call("nn.rotate", f32("B", "S", 3 * size), weights=((3, 3),), hadamard=size)
    assert close(y, x @ np.kron(f, hadamard(size)))
    y, (x,), _ = call("nn.rotate", f32("B", "S", size), hadamard=size)
    assert close(y, x @ hadamard(size))


def slopes(heads: int) -> list[float]:
    """ALiBi's: 2^(-8i/n) for n a power of two; the rest from every second one of 2n."""
    power = 2 ** int(math.log2(heads))
    first = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    return first + [2 ** (-8 * (i + 1) / (2 * power)) for i in range(0, 2 * (heads - power), 2)]


def probabilities(scores: np.ndarray, mask: np.ndarray, causal, window, softcap, alibi) -> np.ndarray:
    batch, heads, new, total = scores.shape
    out = np.zeros_like(scores)
    for b, h, i in np.ndindex(batch, heads, new):
        query, seen = total - new + i, []
        for j in range(total):
            if not mask[b, j] or (causal and j > query) or (window and j <= query - window):
                continue
            if window and not causal and j >= query + window:
                continue
            s = scores[b, h, i, j]
            s = softcap * math.tanh(s / softcap) if softcap else s
            seen.append((j, s + (slopes(heads)[h] * (mask[b, : j + 1].sum() - 1) if alibi else 0)))
        whole = sum(math.exp(s) for _, s in seen)
        for j, s in seen:
            out[b, h, i, j] = math.exp(s) / whole
        if not seen:
            out[b, h, i] = 1 / total
    return out


FORMS = [
    {"causal": True, "window": 0, "softcap": 0.0, "alibi": False},
    {"causal": False, "window": 0, "softcap": 0.0, "alibi": False},
    {"causal": True, "window": 2, "softcap": 0.0, "alibi": False},
    {"causal": False, "window": 2, "softcap": 0.0, "alibi": False},
    {"causal": True, "window": 0, "softcap": 0.8, "alibi": False},
    {"causal": True, "window": 0, "softcap": 0.0, "alibi": True},
]


@pytest.mark.parametrize("past", [0, 2])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_softmax_and_attention(form: dict, past: int) -> None:
    mask_type, total = Tensor("i64", ("B", "P+S")), past + 3
    rng = np.random.default_rng(1)
    world = World()
    q, k, v = (world.input(n, f32("B", h, t, 4)) for n, h, t in (("q", 6, "S"), ("k", 3, "P+S"), ("v", 3, "P+S")))
    scores, mask = world.input("scores", f32("B", 6, "S", "P+S")), world.input("mask", mask_type)
    world.op("nn.softmax", scores, mask, **form)
    world.op("nn.attend", q, k, v, mask, scale=0.5, **form)
    dims = {"B": 2, "S": 3, "P": past}
    given = {n.name: random_value(n.type, rng, dims) for n in world.inputs}
    given["mask"][:] = 1
    given["mask"][0, 0] = 0
    run = Interpreter(verify(world.finish()), world.store)
    state = run.new_state(2)
    state.past = past
    state.mask = given["mask"][:, :past]
    p, y = (r.numpy() for r in run.run(given, state).values())
    f = {n: t.double().numpy() for n, t in given.items()}
    rows = f["mask"].cumsum(1)[:, total - 3 :] > 0  # a query that sees nothing says nothing
    want = probabilities(f["scores"], f["mask"], **form)
    for b, i in np.argwhere(rows):
        assert close(p[b, :, i], want[b, :, i])
    k, v = (np.repeat(f[n], 2, axis=1) for n in "kv")
    want = probabilities(f["q"] @ k.transpose(0, 1, 3, 2) * 0.5, f["mask"], **form) @ v
    for b, i in np.argwhere(rows):
        assert close(y[b, :, i], want[b, :, i])
