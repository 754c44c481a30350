"""The models that spikes are set against: the source in several number formats."""

from __future__ import annotations

from dataclasses import dataclass

from .constants import FP16_MAC, FP32_MAC, INT8_MAC, WORD
from .integers import integers
from .literature import literature, literature_dense
from .part import Part
from .traffic import Memory, dense_traffic, traffic
from .work import Work

Bill = list[Part]


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the table: bills by column a, b, c; None where a rule gives no figure."""

    name: str
    bills: tuple[Bill | None, Bill, Bill]


def dense_models(work: Work, memory: Memory) -> list[Model]:
    """The source in fp32, fp16 and int8, and where weights are quantised to 8 bits or fewer at that width.

    The literature's rule is stated for fp32 and quantised models only. Horowitz has no multiply-add below 8 bits: a
    narrower model is priced as int8 arithmetic, with its own width in memory.
    """
    found = [
        _dense(work, memory, "source, fp32", 32, FP32_MAC, by_rule=True),
        _dense(work, memory, "source, fp16", 16, FP16_MAC, by_rule=False),
        _dense(work, memory, "source, int8", 8, INT8_MAC, by_rule=False),
    ]
    bits = work.bits
    if bits <= 8:
        found.append(_dense(work, memory, f"dense, W{bits:g}A{bits:g}", bits, INT8_MAC, by_rule=True))
    return found


def spiking_model(work: Work, memory: Memory) -> Model:
    """The spike program itself."""
    counted = integers(work)
    return Model("spike program", (literature(work), counted, [*counted, *traffic(work, memory)]))


def _dense(work: Work, memory: Memory, name: str, bits: float, pj: float, *, by_rule: bool) -> Model:
    counted = [Part("multiply-adds", work.macs, pj)]
    rule = literature_dense(work, bits) if by_rule else None
    return Model(name, (rule, counted, [*counted, *dense_traffic(work, bits, memory)]))


def head_model(work: Work, memory: Memory) -> Model | None:
    """The head, in float in source and spike program alike; None for a program without one."""
    if not work.head.macs:
        return None
    counted = [Part("multiply-adds", work.head.macs, FP32_MAC)]
    reads = Part("weights", work.head.macs * work.head.bits / WORD, memory.weight_pj)
    return Model("head, fp32 (in no row above)", (counted, counted, [*counted, reads]))
