"""Plots carry their numbers: coordinates are cut short, texts are not; names cannot become markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from sdllm.compiler.report import plots

finite = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=20))
def test_a_line_goes_through_its_points_in_order(points: list[tuple[float, float]]) -> None:
    ordered = sorted(points)
    drawn = str(plots.lines({"one": ordered}, "x", "y"))
    root = ET.fromstring(drawn)
    (path,) = root.iter("path")
    numbers = [float(n) for n in re.findall(r"-?[\d.]+(?:e-?\d+)?", path.get("d", ""))]
    xs = numbers[::2]
    assert len(xs) == len(points)
    assert xs == sorted(xs)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_columns_are_as_high_as_their_values(values: list[int]) -> None:
    drawn = str(plots.columns([(str(i), float(v)) for i, v in enumerate(values)], "x", "y"))
    heights = [float(r.get("height", 0)) for r in ET.fromstring(drawn).iter("rect")][1:]  # the first is the ground
    top = max(values)
    for value, height in zip(values, heights, strict=True):
        assert abs(height - (value / top * max(heights) if top else 0)) < 0.02


@given(st.integers(1, 200))
def test_marks_of_many_columns_keep_apart(count: int) -> None:
    points = plots.thinned([(str(i), 1.0) for i in range(count)])
    root = ET.fromstring(str(plots.columns(points, "step", "y")))
    (axis,) = (g for g in root.iter("g") if g.get("class") == "axis bottom")
    marks = [g.find("text") for g in axis.iter("g") if g.get("class") == "tick"]
    places = [float(mark.get("x", "nan")) for mark in marks if mark is not None]
    assert len(places) == len(range(0, count, max(1, count // 16)))
    digits = len(str(count - 1))
    assert all(b - a > 7 * digits for a, b in pairwise(places))  # a digit is less than 7 wide


def test_texts_keep_their_digits_and_names_are_escaped() -> None:
    series = {"<b>": [(0.0, -2.0), (1.0, -1.9)], "two": [(0.0, -1.95), (1.0, -1.9)]}
    drawn = str(plots.lines(series, "x", "y", tick=lambda v: f"{10**v:.3g}"))
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn
    assert ">0.0126<" in drawn
    assert not re.search(r'"-?\d+\.\d{3,}"', drawn)
