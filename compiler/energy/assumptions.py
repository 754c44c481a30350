"""What each column assumes, in words; every number in them is a constant of constants.py or of the work.

Each is marked: stated (by SDLLM's authors), derived (by arithmetic from what they state), reconstruction (ours, where
they are silent), measured (here), or chosen (ours).
"""

from __future__ import annotations

from dataclasses import dataclass

from . import constants as c
from .traffic import Memory
from .work import Work

MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Said:
    """One assumption and whose it is."""

    whose: str
    text: str


def of_literature(work: Work) -> list[Said]:
    """Column a."""
    found = [] if work.spikes_from == MEASURED else [Said("stated", f"weights of {c.PUBLISHED_BITS} bits")]
    biases = "" if work.spikes_from == MEASURED else " (biases too)"
    size = f"tokens x parameters of the layers' matrices{biases} + 2 x tokens^2 x attention width of each layer"
    fit = f"{work.tokens} tokens a sequence; the published joules fit {c.FITTED_TOKENS}"
    mac = f"a multiply-add is {c.FP32_MAC} pJ, x bits/{c.WORD} where quantised"
    spike = f"a spike is {c.FP32_ADD} pJ x {work.bits:g}/{c.WORD}"
    return [
        *found,
        Said("derived", f"operations: {size}"),
        Said("derived", f"QK and AV without causal mask; no embedding, no head; {fit}"),
        Said("derived", f"{mac}; {spike}"),
        _spikes(work),
        Said("derived", "arithmetic alone: no memory, no membrane updates, no encoders, no read-out"),
    ]


def of_integers(work: Work) -> list[Said]:
    """Column b."""
    addition = f"an addition into a {c.MEMBRANE_BITS}-bit membrane is {c.INT32_ADD} pJ (Horowitz 2014)"
    around = f"read-out is {c.FP32_MAC} pJ for each output and weight group, an encoder {c.ENCODE:g} pJ a number"
    rotations = f"online rotations are {c.FP32_ADD} pJ an addition, {c.FP32_MAC} pJ a product of their small factor"
    dense = f"dense models: fp32 {c.FP32_MAC}, fp16 {c.FP16_MAC}, int8 {c.INT8_MAC} pJ a multiply-add"
    return [
        Said("chosen", f"{addition}; {c.FP32_ADD} pJ where weights are float"),
        Said("chosen", "a doubling of a membrane, or a slope added to it, costs an addition"),
        Said("chosen", f"{around}; {rotations}"),
        Said("chosen", f"{dense} (8-bit accumulation, in their favour); narrower ones at int8's price"),
        Said("chosen", "dense models' quantisers and scales are not counted, in their favour"),
        _products(work),
    ]


def of_memory(work: Work, memory: Memory) -> list[Said]:
    """Column c."""
    size = f"weights ({work.weights * work.bits / 8 / 1e6:.4g} MB at {work.bits:g} bits)"
    wide = any(p.stored_bits and p.stored_bits != p.operand_bits for p in work.products)
    rows = f"rows of one scale are read as the {c.ROW_BITS}-bit integers that spikes add"
    anew = "one token at a time: each addition, like each multiply-add, reads its operand anew"
    return [
        Said("chosen", f"32 bits moved: SRAM {c.SRAM:g} pJ (8 kB), DRAM {c.DRAM:g} pJ"),
        Said("chosen", f"{size} and cached keys and values: {memory.weights} (--memory)"),
        *([Said("chosen", rows)] if wide else []),
        Said("chosen", f"membranes: {memory.membranes} (--membranes), read and written by each addition and update"),
        Said("chosen", "queries, probabilities, activations and spike events (a word each, written and read): sram"),
        Said("chosen", "accumulators of dense models: registers; what is in registers is free"),
        Said("chosen", f"{anew}, so several spikes of one count read a weight several times"),
        Said("chosen", "batches would share weight reads among tokens, which helps dense models most"),
    ]


def _spikes(work: Work) -> Said:
    whose = {MEASURED: MEASURED, "fitted": "derived"}.get(work.spikes_from, "chosen")
    how = {
        MEASURED: "measured on held-out text",
        "fitted": "fitted to the joules published for LLaMA2-7B: for any other model a prediction",
    }.get(work.spikes_from, work.spikes_from)
    return Said(whose, f"{work.spikes:.4g} spikes for each multiply-add, {how}")


def _products(work: Work) -> Said:
    if work.spikes_from == MEASURED:
        how = "scaled to this many tokens at the same spikes for each activation"
        return Said(MEASURED, f"additions and membrane updates of each product, on held-out text, {how}")
    attention = f"attention spikes as often as the rest and meets {c.OPERAND_BITS}-bit queries and probabilities"
    least = "one weight scale an output, no online rotation, no membrane updates"
    return Said("reconstruction", f"nothing is measured: {attention}; {least}")
