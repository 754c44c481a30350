"""Column b: each operation at the price of the unit that would do it; a membrane is 32 bits wide."""

from __future__ import annotations

from .constants import FP32_ADD, FP32_MAC, INT32_ADD
from .part import Part
from .work import Work


def integers(work: Work) -> list[Part]:
    """Additions of linear layers and of attention, membrane updates, and the arithmetic around them."""
    found = []
    for p in work.products:
        if not p.spiked:
            found.append(Part("products left in float", p.macs, FP32_MAC))
            continue
        pj = FP32_ADD if p.float_adds else INT32_ADD
        found.append(Part("attention's spikes" if p.attention else "linear layers' spikes", p.additions, pj))
        found.append(Part("membrane updates", p.updates, pj))
    return [*found, *work.extras]
