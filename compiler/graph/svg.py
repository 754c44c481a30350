"""A program as a still drawing: boxes in boxes, ranks from top to bottom, a line where a value flows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from markupsafe import Markup

from ...ir import Program
from .kinds import kind
from .tree import Block, tree

_LINE, _GAP, _PAD, _CHAR = 18.0, 14.0, 10.0, 6.6

_STYLE = (
    "text{font:11px sans-serif;fill:#1c1e21}rect{fill:#fff;stroke:#aab0b8}.block{fill:#f6f7f8}.spikes{fill:#cfe3f7}"
    ".encode{fill:#e3f1e8}.read{fill:#efe6f7}.float{fill:#fbe3d6}.state{fill:#f3ecd0}path{fill:none;stroke:#8a9099}"
)


@dataclass
class _Box:
    label: str
    style: str
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    inner: list[_Box] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)


def svg(program: Program, depth: int) -> str:
    """The drawing; blocks more than `depth` levels down are drawn closed."""
    whole = _box(program, tree(program), depth)
    size = f'width="{whole.width:.0f}" height="{whole.height:.0f}" viewBox="0 0 {whole.width:.0f} {whole.height:.0f}"'
    body = "\n".join(_draw(whole, 0.0, 0.0))
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_STYLE}</style>\n{body}\n</svg>\n'


def _box(program: Program, part: Block | int, depth: int) -> _Box:
    if isinstance(part, int):
        op = program.ops[part]
        return _Box(op.name, kind(op), width=_wide(op.name), height=_LINE + 6)
    if depth < 0:
        label = f"{part.label} ({len(list(part.ops()))} ops)"
        return _Box(label, "block", width=_wide(label), height=_LINE + 6)
    inner = [_box(program, child, depth - 1) for child in part.children]
    box = _Box(part.label, "block", inner=inner, ranks=part.ranks, edges=part.edges)
    rows: dict[int, list[_Box]] = {}
    for child, rank in zip(inner, part.ranks, strict=True):
        rows.setdefault(rank, []).append(child)
    widths = {rank: sum(b.width for b in row) + _GAP * (len(row) - 1) for rank, row in rows.items()}
    box.width = max([*widths.values(), _wide(part.label)]) + 2 * _PAD
    y = _LINE + _PAD
    for rank in sorted(rows):
        x = (box.width - widths[rank]) / 2
        for child in rows[rank]:
            child.x, child.y = x, y
            x += child.width + _GAP
        y += max(b.height for b in rows[rank]) + _GAP
    box.height = y - _GAP + _PAD
    return box


def _wide(label: str) -> float:
    return len(label) * _CHAR + 2 * _PAD


def _draw(box: _Box, x: float, y: float) -> Iterator[str]:
    x, y = x + box.x, y + box.y
    where = f'x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    yield f'<rect class="{box.style}" rx="5" {where}/>'
    if box.inner:
        yield f'<text x="{x + _PAD:.1f}" y="{y + 14:.1f}">{Markup.escape(box.label)}</text>'
    else:
        middle = f'x="{x + box.width / 2:.1f}" y="{y + box.height / 2 + 4:.1f}" text-anchor="middle"'
        yield f"<text {middle}>{Markup.escape(box.label)}</text>"
    for a, b in box.edges:
        yield _edge(box, a, b, x, y)
    for child in box.inner:
        yield from _draw(child, x, y)


def _edge(box: _Box, a: int, b: int, x: float, y: float) -> str:
    """From the foot of one part to the head of another; past what lies between, in a bow on its right (a curve goes
    three quarters of the way to its control points)."""
    one, other = box.inner[a], box.inner[b]
    x1, y1 = x + one.x + one.width / 2, y + one.y + one.height
    x2, y2 = x + other.x + other.width / 2, y + other.y
    between = [part for part, rank in zip(box.inner, box.ranks, strict=True) if box.ranks[a] < rank < box.ranks[b]]
    side = max((x + part.x + part.width + _GAP / 2 for part in between), default=0.0)
    c1, c2 = (at + (side - at) * 4 / 3 if between else at for at in (x1, x2))
    above, below = (y1 + 8, y2 - 8) if between else ((y1 + y2) / 2, (y1 + y2) / 2)
    return f'<path d="M{x1:.1f} {y1:.1f}C{c1:.1f} {above:.1f} {c2:.1f} {below:.1f} {x2:.1f} {y2:.1f}"/>'
