"""What a program's attention, positions and norms are, in a few words, read off its ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ....ir import Op, Program, Tensor


def _ops(program: Program, name: str) -> list[Op]:
    return [op for op in program.ops if op.name == name]


def _shape(op: Op, operand: int) -> tuple[int | str, ...]:
    of = op.operands[operand].type
    assert isinstance(of, Tensor)
    return of.shape


def _some(count: int, total: int, words: str) -> str:
    return words if count == total else f"{words} in {count} of {total} layers"


def attention(program: Program) -> str:
    """Such as `causal, 4 heads over 2, window 8 in 1 of 2 layers`."""
    layers = _ops(program, "nn.attend")
    heads, shared = _shape(layers[0], 0)[1], _shape(layers[0], 1)[1]
    words = ["causal" if layers[0].attrs["causal"] else "bidirectional"]
    words.append(f"{heads} heads" if heads == shared else f"{heads} heads over {shared}")
    for window, count in sorted(Counter(op.attrs["window"] for op in layers).items()):
        if window:
            words.append(_some(count, len(layers), f"window {window}"))
    capped = sum(bool(op.attrs["softcap"]) for op in layers)
    if capped:
        words.append(_some(capped, len(layers), "soft-capped"))
    return ", ".join(words)


def positions(program: Program) -> str:
    """Such as `rope half, 4 of 8 channels`, `table + 2`, `ALiBi`."""
    layers = _ops(program, "nn.attend")
    words: list[str] = []
    ropes = _ops(program, "nn.rope")
    if ropes:
        turned, width = _shape(ropes[0], 0)[3], _shape(layers[0], 0)[3]
        part = "" if turned == width else f", {turned} of {width} channels"
        words.append(_some(len(ropes) // 2, len(layers), f"rope {ropes[0].attrs['layout']}{part}"))
        tables = {program.weights[op.weights[0]].sha256 for op in ropes}
        words += [f"{len(tables)} bases"] if len(tables) > 1 else []
        scaled = {op.attrs["scaling"] for op in ropes} - {1.0}
        words += [f"scaled by {min(scaled):.3g}"] if scaled else []
    for op in _ops(program, "nn.embed"):
        if op.operands[0].name == "positions":
            words.append("table" + (f" + {op.attrs['offset']}" if op.attrs["offset"] else ""))
    if any(op.attrs["alibi"] for op in layers):
        words.append("ALiBi")
    return ", ".join(words) or "none"


def norms(program: Program) -> str:
    """Such as `RMSNorm (1 + g)`, with `q, k` where heads are normed."""
    kinds: list[str] = []
    for op in program.ops:
        if op.name == "nn.rms_norm":
            kinds.append("RMSNorm (1 + g)" if op.attrs["gain_offset"] else "RMSNorm")
        elif op.name == "nn.layer_norm":
            kinds.append("LayerNorm")
    inside = any(op.name in ("nn.rms_norm", "nn.layer_norm") and _in_attention(op) for op in program.ops)
    return ", ".join([*_unique(kinds), *(["q, k"] if inside else [])])


def _in_attention(op: Op) -> bool:
    last = [part for part in op.loc.module.split(".") if not part.isdigit()]
    return any(part in ("self_attn", "attention", "attn") for part in last[:-1]) and last[-1] != "LayerNorm"


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
