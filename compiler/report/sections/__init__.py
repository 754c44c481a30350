"""The report's sections, in order. Each gives blocks for one folder; the page sets folders side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..blocks import Block
from ..folder import Folder
from . import coverage, energy, firing, gap, graph, pipeline, provenance, raster, trace, verdict


@dataclass(frozen=True)
class Section:
    """A heading, its anchor, and what stands under it."""

    anchor: str
    title: str
    blocks: Callable[[Folder], Sequence[Block]]


SECTIONS = (
    Section("verdict", "Verdict", verdict.blocks),
    Section("coverage", "What runs on spikes", coverage.blocks),
    Section("firing", "Firing rates, steps and γ", firing.blocks),
    Section("raster", "Where the spikes are", raster.blocks),
    Section("energy", "Energy", energy.blocks),
    Section("gap", "Numeric gap by module", gap.blocks),
    Section("trace", "Trace of a text", trace.blocks),
    Section("graph", "The program as a diagram", graph.blocks),
    Section("pipeline", "What the passes did", pipeline.blocks),
    Section("provenance", "Provenance and licence", provenance.blocks),
)

__all__ = ["SECTIONS", "Section"]
