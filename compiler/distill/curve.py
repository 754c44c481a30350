"""The loss curve of a run as an SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 360, 56, 40, 28
TRAIN, HELD_OUT = "#4878a8", "#c0504d"

Point = tuple[float, float]


def plot(history: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """Text loss (HTA, nats a token) of training and held-out sequences over tokens; lines of `history` have `tokens`,
    `hta` (None without that term) and, where measured, `held_out`."""
    train = [(float(h["tokens"]), float(h["hta"])) for h in history if h.get("hta") is not None]
    held = [(float(h["tokens"]), float(h["held_out"])) for h in history if h.get("held_out") is not None]
    points = [*train, *held]
    if not points:
        return
    right = max(x for x, _ in points)
    low, high = _round_out(min(y for _, y in points), max(y for _, y in points))

    def at(point: Point) -> str:
        x = LEFT + point[0] / right * (WIDTH - LEFT - 16)
        y = HEIGHT - BOTTOM - (point[1] - low) / (high - low) * (HEIGHT - BOTTOM - TOP)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="18">{_escaped(title)}</text>',
    ]
    for step in range(5):
        value = low + (high - low) * step / 4
        x, y = at((0, value)).split(",")
        parts.append(f'<path d="M{x} {y}H{WIDTH - 16}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        x, y = at((right * step / 4, low)).split(",")
        parts.append(f'<text x="{x}" y="{HEIGHT - 22}" text-anchor="middle">{_short(right * step / 4)}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">tokens; loss in nats a token</text>')
    for line, colour, name, place in ((train, TRAIN, "training", 0), (held, HELD_OUT, "held out", 1)):
        if line:
            path_points = " ".join(at(p) for p in line)
            parts.append(f'<polyline points="{path_points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            parts.append(f'<text x="{WIDTH - 90}" y="{TOP + 14 + 16 * place}" fill="{colour}">{name}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _round_out(low: float, high: float) -> tuple[float, float]:
    """A range of tenths around both."""
    return math.floor(low * 10) / 10, max(math.ceil(high * 10) / 10, math.floor(low * 10) / 10 + 0.1)


def _short(tokens: float) -> str:
    return f"{tokens / 1e6:.3g}M" if tokens >= 1e6 else f"{tokens / 1e3:.3g}k" if tokens >= 1e3 else f"{tokens:.0f}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
