"""Spiking, dense or kept float, by share of multiply-adds, with reasons."""

from __future__ import annotations

from ...coverage import Share, coverage, spiking_share
from .. import plots
from ..blocks import Block, Plot, Table, Text
from ..folder import Folder


def blocks(folder: Folder) -> list[Block]:
    """Matrix products first, then the elementwise work beside them."""
    shares = coverage(folder.artifact.program)
    products = [s for s in shares if s.multiplies]
    total = sum(s.operations for s in products) or 1
    rest = [s for s in shares if not s.multiplies]
    told = (
        f"{spiking_share(shares):.1%} of the multiply-adds of matrix products run on spikes (a prefill of 1024 tokens)."
    )
    rows = [(s.kind, _where(s), s.operations / total * 100, s.operations, s.reason) for s in products]
    columns = ("products", "runs on", "% of multiply-adds", "multiply-adds", "why not on spikes")
    table = Table("", columns, rows)
    found: list[Block] = [Text(told)]
    if len(products) > 1:
        svg = plots.bars(
            [(s.kind if s.spiking else f"{s.kind}, float", s.operations / total * 100) for s in products],
            "% of multiply-adds",
        )
        found.append(Plot("Multiply-adds by kind", svg, table))
    else:
        found.append(table)
    beside = [(s.kind, s.operations, s.share * 100, s.reason) for s in rest]
    names = ("elementwise work, in float", "operations", "% of all operations", "why it stays float")
    return [*found, Table("Beside the products", names, beside)]


def _where(share: Share) -> str:
    return "spikes" if share.spiking else "float"
