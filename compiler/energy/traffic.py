"""What column c adds to column b: every operand that has to come from somewhere.

One token at a time, as in decoding: no weight and no cached value is kept from one token to the next, in the spike
program and in the dense models alike. Each addition, like each multiply-add, reads one operand.
"""

from __future__ import annotations

from dataclasses import dataclass

from .constants import DRAM, EVENT_BITS, FLOAT_BITS, MEMBRANE_BITS, REGISTER, SRAM, WORD
from .part import Part
from .work import Work

LEVELS = {"sram": SRAM, "dram": DRAM}
MEMBRANES = {"sram": SRAM, "register": REGISTER}


@dataclass(frozen=True, slots=True)
class Memory:
    """Where things live: weights and cache in `weights` (sram, dram), membranes in `membranes` (sram, register).

    Spike events, activations, queries and probabilities are in SRAM, accumulators of dense models in registers.
    """

    weights: str = "sram"
    membranes: str = "sram"

    @property
    def weight_pj(self) -> float:
        """pJ for 32 bits of a weight or of the cache."""
        return LEVELS[self.weights]

    @property
    def membrane_pj(self) -> float:
        """pJ for 32 bits of a membrane."""
        return MEMBRANES[self.membranes]


def traffic(work: Work, memory: Memory) -> list[Part]:
    """Accesses of the spike program: weights, attention's operands, membranes, spike events, cache."""
    found = [Part("weight scales", work.scale_bits / WORD, memory.weight_pj)]
    for p in work.products:
        reads = (p.additions if p.spiked else p.macs) * p.operand_bits / WORD
        if p.attention:
            found.append(Part("queries and probabilities", reads, SRAM))
        else:
            found.append(Part("weights", reads, memory.weight_pj))
            words = p.spikes * EVENT_BITS if p.spiked else p.values * FLOAT_BITS
            found.append(Part("spike events" if p.spiked else "activations", 2 * words / WORD, SRAM))
        # Read and written by each addition and update, and once more for read-out and reset.
        touched = 2 * (p.additions + p.updates + p.cells) * MEMBRANE_BITS / WORD
        found.append(Part("membranes", touched, memory.membrane_pj))
    return [*found, *_cache(work, work.kv_bits, memory)]


def dense_traffic(work: Work, bits: float, memory: Memory) -> list[Part]:
    """Accesses of a dense model whose weights, activations and cache have so many bits; accumulators are free."""
    linears = [p for p in work.products if not p.attention]
    attention = sum(p.macs for p in work.products if p.attention)
    return [
        Part("weights", sum(p.macs for p in linears) * bits / WORD, memory.weight_pj),
        Part("activations", 2 * sum(p.values for p in linears) * bits / WORD, SRAM),
        Part("queries and probabilities", attention * bits / WORD, SRAM),
        *_cache(work, work.kv_values * bits, memory),
    ]


def _cache(work: Work, bits_a_token: float, memory: Memory) -> list[Part]:
    """Each token writes its keys and values and reads those of all tokens (as the products, not halved)."""
    accesses = work.tokens * (1 + work.tokens) * bits_a_token / WORD
    return [Part("keys and values", accesses, memory.weight_pj)]
