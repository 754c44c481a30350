"""What is tried of each op: for every op of the table, parts that use it in its several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from ...ir import (
    CSD,
    OPS,
    Binary,
    Bits,
    DigitRamp,
    FixedWeight,
    FloatWeight,
    GridWeight,
    RowWeight,
    Segment,
    Ternary,
    WeightType,
)
from ...ir.types import Segments
from .parts import (
    UNSIGNED,
    Part,
    attended,
    both,
    coinciding,
    encoder,
    fired,
    firing,
    floats,
    gather,
    gathered,
    heads,
    ids,
    kept,
    linear,
    meant,
    plain,
    positions,
    scored,
    scores,
    softmax,
    timed,
    whole,
)  # fmt: skip

MASKS: tuple[dict[str, Any], ...] = tuple(
    {"causal": causal, "window": window, "softcap": softcap, "alibi": alibi}
    for causal, window, softcap, alibi in product((True, False), (0, 3), (0.0, 2.0), (False, True))
)


def _small(segments: Segments) -> list[WeightType]:
    """Grids for few inputs."""
    width = segments[-1].stop
    return [GridWeight(4, 4, False, (5, width)), GridWeight(3, 3, True, (5, width)), RowWeight(4, 4, (5, width))]


_SIX = whole(Ternary(7), 6)
_MIXED = (Segment(0, 4, CSD(4)), Segment(4, 6, Ternary(3)))
_RULES: tuple[dict[str, Any], ...] = (
    {"threshold": "mean", "factor": 1 / 3},
    {"threshold": "mean", "factor": 0.5, "levels": 3},
    {"threshold": "static", "factor": 0.21},
    {"clip": "soft", "quantile": 0.3},
    {"clip": "hard", "quantile": 0.3, "order": "clip_first"},
    {"clip": "soft", "quantile": 0.5, "order": "clip_first", "threshold": "mean", "factor": 0.4},
    {"price": 0.3},
    {"overflow": "widen", "threshold": "mean", "factor": 0.1},
    {"price": 2.0, "overflow": "widen", "levels": 9, "threshold": "mean", "factor": 0.2},
)
_ACTIVATIONS = OPS["nn.activation"].attrs["kind"].words
_BOTH = ("half", "interleaved")
_SQUARE = FloatWeight((5, 6))

PARTS: Mapping[str, Sequence[Part]] = {
    "nn.embed": [plain("nn.embed", ids, weights=[FloatWeight((26, 6))], offset=k) for k in (0, 2)]
    + [plain("nn.embed", ids, weights=[GridWeight(8, 3, False, (24, 6))])],
    "nn.linear": [plain("nn.linear", floats(), weights=w) for w in ([_SQUARE], [_SQUARE, FloatWeight((5,))])]
    + [plain("nn.linear", floats(), weights=[w]) for w in _small(_SIX)],
    "nn.rms_norm": [
        plain("nn.rms_norm", floats(), weights=w, eps=eps, gain_offset=offset)
        for w, eps, offset in (([FloatWeight((6,))], 1e-5, 0.0), ([FloatWeight((6,))], 0.05, 1.0), ([], 0.1, 0.0))
    ],
    "nn.layer_norm": [
        plain("nn.layer_norm", floats(), weights=[FloatWeight((6,))] * k, eps=0.01) for k in range(3)
    ] + [plain("nn.layer_norm", heads(), weights=[FloatWeight((4, 4))], eps=1e-6)],
    "nn.add": [plain("nn.add", floats(), floats()), plain("nn.add", floats(), floats(1))],
    "nn.mul": [plain("nn.mul", floats(), floats()), plain("nn.mul", floats(1), floats())],
    "nn.scale": [plain("nn.scale", floats(), by=by) for by in (0.125, -3.7, 1e30)],
    "nn.bias": [plain("nn.bias", floats(), weights=[FloatWeight((6,))])],
    "nn.activation": [
        plain("nn.activation", floats(6, size), kind=kind) for kind in _ACTIVATIONS for size in (1.0, 20.0)
    ],
    "nn.softcap": [plain("nn.softcap", floats(6, 20.0), cap=30.0)],
    "nn.rope": [plain("nn.rope", heads(), positions, weights=[FloatWeight((2,))], layout=w) for w in _BOTH]
    + [plain("nn.rope", heads(), positions, weights=[FloatWeight((2,))], scaling=0.7)],
    "nn.reshape": [plain("nn.reshape", floats(), shape=("B", "S", 2, 3))],
    "nn.permute": [plain("nn.permute", heads(), axes=axes) for axes in ((0, 2, 1, 3), (0, 1, 3, 2))],
    "nn.set_apart": [
        plain("nn.set_apart", floats(), channels=channels, back=back)
        for channels in ((4, 1), (0,), (5, 4, 3, 2, 1, 0)) for back in (False, True)
    ],
    "nn.slice": [plain("nn.slice", floats(), axis=axis, start=1, stop=4) for axis in (2, -1)]
    + [plain("nn.slice", heads(), axis=1, start=1, stop=3)],
    "nn.concat": [plain("nn.concat", heads(), heads(2), axis=axis) for axis in (1, -3)]
    + [plain("nn.concat", floats(), floats(3), floats(1), axis=2)],
    "nn.repeat": [plain("nn.repeat", heads(2), axis=1, times=2)],
    "nn.rotate": [
        plain("nn.rotate", floats(), weights=[FloatWeight((3, 3))], hadamard=2),
        plain("nn.rotate", floats(8), hadamard=8),
    ],
    "nn.attend": [attended(**way) for way in MASKS],
    "nn.softmax": [softmax(**way) for way in MASKS],
    "state.append": [
        kept(1, floats()),
        kept(2, heads()),
        lambda p: p.exact(scores(p)),
        lambda p: p.exact(p.do("lif.mean", p.kept(fired(p, 4, 4)))),
    ],
    "spike.encode": [encoder(_SIX)]
    + [encoder(_SIX, **rule) for rule in _RULES]
    + [encoder(whole(code, 6), **rule) for code in (CSD(5), DigitRamp(3, 2, 5)) for rule in _RULES[-3:]]
    + [encoder(_MIXED), encoder(_MIXED, levels=(2, 1)), encoder(_MIXED, threshold="mean", factor=0.5)]
    + [encoder(whole(code, 6), grid=grid) for code in UNSIGNED[:4] for grid in ("offset", "asymmetric")],
    "int.encode": [
        scored(Ternary(3), bits, signed) for bits, signed in ((8, True), (4, True), (8, False), (15, True))
    ],
    "spike.linear": [linear(segments, w) for segments in (_SIX, _MIXED) for w in (_SQUARE, *_small(_SIX))],
    "spike.center": [linear(whole(Binary(15), 6), w) for w in _small(_SIX)],
    "spike.sum": [linear(segments, _small(segments)[1]) for segments in (_SIX, _MIXED, whole(Bits(4), 6))],
    "spike.read_out": [linear(_SIX, w, bias=True) for w in (_SQUARE, *_small(_SIX))],
    "spike.matmul": [scored(), scored(Ternary(7), 4, False), scored(CSD(5), 15)]
    + [gathered(code) for code in (Ternary(7), CSD(4))],
    "spike.read_matmul": [scored(), scored(columns=True)],
    "lif.current": [meant("lif.current", floats(), T=T, frac=8) for T in (2, 4)],
    "lif.fire": [meant("lif.reshape", firing(beta, T), shape=("B", "S", 6)) for beta in (230, 0, 256) for T in (4, 8)],
    "lif.linear": [timed, meant("lif.linear", firing(), weights=[FixedWeight(10, (5, 6)), FixedWeight(10, (5,))])],
    "lif.coincide": [coinciding(), coinciding(causal=False), coinciding(near=(1, 0, 2, 0), far=(1, 1, 3, 9))],
    "lif.gather": [gather],
    "lif.both": [both],
    "lif.reshape": [
        meant("lif.reshape", firing(), shape=("B", "S", 2, 3), axes=axes) for axes in ((), (0, 2, 1, 3))
    ],
    "lif.mean": [meant("lif.current", floats(), T=2, frac=8), timed],
}  # fmt: skip
