"""Plots as SVG text by leather; colours are the page's variables, so that they follow light, dark and print."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle

import leather
from markupsafe import Markup

Points = Sequence[tuple[float, float]]

COLOURS = tuple(f"var(--c{i})" for i in range(1, 10))
_FONT = "inherit"
_THEME = {
    "background_color": "none",
    "title_color": "var(--text)",
    "axis_title_color": "var(--muted)",
    "label_color": "var(--muted)",
    "tick_color": "var(--line)",
    "zero_color": "var(--muted)",
    "axis_title_font_family": _FONT,
    "tick_font_family": _FONT,
    "axis_title_font_size": 12,
    "axis_title_gap": 12,
    "tick_font_size": 11,
    "tick_font_char_width": 6.5,
    "tick_font_char_height": 11,
    "margin": 0.02,
}
_WIDTH, _HEIGHT = 640, 300


class _Line(leather.Line):  # type: ignore[misc]
    """A line without an entry in leather's legend, which does not wrap where the plot ends."""

    def legend_to_svg(self, series: object, palette: object) -> list[object]:
        return []


class _Dots(leather.Dots):  # type: ignore[misc]
    """The same for single points."""

    def legend_to_svg(self, series: object, palette: object) -> list[object]:
        return []


def lines(series: Mapping[str, Points], x: str, y: str, *, tick: Callable[[float], str] | None = None) -> Markup:
    """A line for each series, all on the same axes; `tick` writes the marks of the y axis."""
    chart = _chart(x, y, tick)
    _room(chart.add_x_scale, [p[0] for points in series.values() for p in points])
    _room(chart.add_y_scale, [p[1] for points in series.values() for p in points])
    for points, colour in zip(series.values(), cycle(COLOURS), strict=False):
        # A line of one point would not be seen.
        shape = _Line(colour, 1.5) if len(points) > 1 else _Dots(colour)
        chart.add_series(leather.Series(list(points)), shape)
    return _legend(series) + _svg(chart, f"{y} over {x}: {', '.join(series)}")


def _room(add_scale: Callable[[float, float], None], values: Sequence[float]) -> None:
    """A scale around values that are all the same: leather's own would have no width."""
    if min(values) == max(values):
        around = abs(values[0]) / 10 or 1.0
        add_scale(values[0] - around, values[0] + around)


def _legend(names: Iterable[str]) -> Markup:
    """A swatch and a name for each series, where there is more than one."""
    named = list(zip(names, cycle(COLOURS), strict=False))
    if len(named) < 2:
        return Markup()
    entry = Markup('<span><i style="background:{}"></i>{}</span>')
    return Markup('<p class="legend">{}</p>').format(
        Markup().join(entry.format(colour, name) for name, colour in named)
    )


def columns(points: Sequence[tuple[str, float]], x: str, y: str) -> Markup:
    """A column for each name."""
    chart = _chart(x, y, None)
    chart.add_columns(list(points), fill_color=COLOURS[0])
    return _svg(chart, f"{y} over {x}")


def thinned(points: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Columns named only where there is room; leather places them by name, so the others get blanks of their own."""
    every = max(1, len(points) // 16)
    return [(name if int(name) % every == 0 else " " * (i + 1), value) for i, (name, value) in enumerate(points)]


def bars(points: Sequence[tuple[str, float]], x: str) -> Markup:
    """A horizontal bar for each name, the first on top."""
    chart = _chart(x, None, None)
    chart.add_bars([(value, name) for name, value in points], fill_color=COLOURS[0])
    return _svg(chart, f"{x} of {', '.join(name for name, _ in points)}", height=90 + 30 * len(points))


def _chart(x: str | None, y: str | None, tick: Callable[[float], str] | None) -> leather.Chart:
    for name, value in _THEME.items():
        setattr(leather.theme, name, value)
    chart = leather.Chart()
    chart.add_x_axis(name=x)
    chart.add_y_axis(name=y, tick_formatter=None if tick is None else lambda value, index, count: tick(float(value)))
    return chart


_LONG = re.compile(r"""(?<=["( ])(-?\d+\.\d{2})\d+(?=[") ])""")  # a coordinate: texts stand between > and <
_NAMELESS = re.compile(r'<g class="tick"><line[^>]*/><text[^>]*>\s+</text></g>')  # a mark whose name `thinned` took
_NOUGHT = re.compile(r"""(?<=["( ])-?[\d.]+E-\d+(?=[") ])""")


def _svg(chart: leather.Chart, told: str, height: int = _HEIGHT) -> Markup:
    """The chart with a view box, to fit its place, a name for those who cannot see it, and no needless digits."""
    text = str(chart.to_svg(width=_WIDTH, height=height))
    body = _LONG.sub(r"\1", _NOUGHT.sub("0", _NAMELESS.sub("", text[text.index("<svg") :])))
    start = body.index(">") + 1
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, height, told)
    return head + Markup(body[start:])
