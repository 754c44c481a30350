"""What an attention kernel is told: sizes, scale, and which keys a query sees."""

from __future__ import annotations

import math

from ...ir import Op
from .emitter import Emitter, number


def slopes(heads: int) -> list[float]:
    """ALiBi's slopes, one a head: a geometric series, the missing ones taken between (Press et al.)."""
    power = 2 ** math.floor(math.log2(heads))
    base = 2.0 ** (-(2.0 ** -(math.log2(power) - 3)))
    extra = 2.0 ** (-(2.0 ** -(math.log2(2 * power) - 3)))
    return [base**i for i in range(1, power + 1)] + [extra**i for i in range(1, 2 * (heads - power), 2)]


def attention(
    e: Emitter,
    op: Op,
    heads: int,
    shared: int,
    widths: tuple[int, int],
    scale: float,
    *,
    tops: tuple[int, int] = (0, 0),
    spikes: tuple[str, str] = ("NULL", "NULL"),
    half: bool = False,
) -> str:
    """The struct sd_attention of an op with masking attributes."""
    a = op.attrs
    table = "NULL"
    if a["alibi"]:
        table = e.table("float", "slopes", "{" + ", ".join(map(number, slopes(heads))) + "}")
    flags = f"{str(a['causal']).lower()}, {str(a['alibi']).lower()}, {table}, {a['window']}"
    sizes = f"{heads}, {shared}, {widths[0]}, {widths[1]}"
    last = f"{tops[0]}.0f, {tops[1]}.0f, {', '.join(spikes)}, {str(half).lower()}"
    body = f"{{{sizes}, {number(scale)}, {number(a['softcap'])}, {flags}, {last}}}"
    return "&" + e.table("struct sd_attention", "attention", body, array=False)
