"""Column a: the literature's rule, arithmetic alone.

Derived: it reproduces the joules that SDLLM (arXiv 2604.16475) publishes for LLaMA2-7B, with one multiply-add 4.6 pJ,
scaled by bits/32 where quantised, and one spike 0.9 pJ, scaled likewise.
"""

from __future__ import annotations

from .constants import FP32_ADD, FP32_MAC, WORD
from .part import Part
from .work import Work


def literature(work: Work) -> list[Part]:
    """Spikes times 0.9 pJ times bits/32; products left in float at 4.6 pJ. Membrane updates are not in the rule."""
    return [
        Part("spikes", sum(p.additions for p in work.products if p.spiked), FP32_ADD * work.bits / WORD),
        Part("left in float", sum(p.macs for p in work.products if not p.spiked), FP32_MAC),
    ]


def literature_dense(work: Work, bits: float) -> list[Part]:
    """The dense model by the same rule: weights and activations of so many bits."""
    return [Part("multiply-adds", work.macs, FP32_MAC * bits / WORD)]
