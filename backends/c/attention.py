"""Attention on spikes as one call."""

from __future__ import annotations

from ...ir import Spikes
from .counts import adding, count_matmul
from .emitter import Emitter
from .fuse import SpikedAttention
from .masking import attention
from .views import NEW, call


def spiked_attention(e: Emitter, found: SpikedAttention) -> None:
    """One call from queries to mixed values, over caches of counts."""
    q = e.packed(found.softmax, e.view(found.query))
    k, v, ks, vs, mask = (e.view(x) for x in (found.keys, found.values, found.key_scale, found.value_scale, found.mask))
    heads, shared = q.dims[0], k.dims[0]
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    widths = int(k.dims[-1]), int(v.dims[-1])
    y = e.room("float", (heads, NEW, widths[1]))
    e.views[found.result.name] = y
    first, second = found.keys.type, found.values.type
    assert isinstance(first, Spikes)
    assert isinstance(second, Spikes)
    tops, spikes = (found.q_top, found.p_top), (adding(e, first), adding(e, second))
    e.need(4 * sum(widths) + widths[0] + 8 * max(first.steps, second.steps) + 1024, 12)
    how = attention(e, found.softmax, heads, heads // shared, widths, found.scale, tops=tops, spikes=spikes)
    cache = f"&(struct sd_cache){{{k.pointer}, {v.pointer}, {ks.pointer}, {vs.pointer}}}"
    line = call("K->attend_spiked", how, y.place, q.place, cache, mask.pointer)
    lines = [line, *count_matmul(e, found.scores, k, heads, widths[0]), *count_matmul(e, found.mixed, v, heads, "t->T")]
    e.step(found.ops, lines, kind="SD_ATTENTION", small=False)
