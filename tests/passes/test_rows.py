"""Rows on one scale: a matrix on a float grid is found back, any other is not far from what float scales give."""

from __future__ import annotations

import numpy as np
import pytest
from sdllm.ir import GridWeight, RowWeight, dequantize
from sdllm.passes import PassError
from sdllm.passes.grids import round_to_nearest
from sdllm.passes.named import named_code
from sdllm.passes.rows import rows_on_one_scale

SHAPE = (24, 100)  # the last group is ragged
ROWS, FLOATS = RowWeight(4, 32, SHAPE), GridWeight(4, 32, True, SHAPE)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_a_matrix_on_a_float_grid_keeps_its_codes() -> None:
    """What a Q4_1 file holds: scales and minima move to whole multiples of a unit, by less than 1 in 255."""
    random = np.random.default_rng(0)
    codes = random.integers(0, 16, SHAPE).astype(np.int8)
    codes[:, ::32], codes[:, 1::32] = 0, 15  # as such files have them: a group's least and greatest lie on the ends
    codes[:, -1], codes[:, -2] = 0, 15
    parts = {
        "codes": codes,
        "scales": random.uniform(0.005, 0.02, (24, 4)).astype(np.float16),
        "minima": random.uniform(-0.2, -0.1, (24, 4)).astype(np.float16),
    }
    matrix = dequantize(FLOATS, parts)
    found = rows_on_one_scale(matrix, ROWS)
    np.testing.assert_array_equal(found["codes"], codes)
    assert relative(dequantize(ROWS, found), matrix) < 0.01


def test_any_matrix_is_nearly_as_close_as_with_float_scales() -> None:
    matrix = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    rows = relative(dequantize(ROWS, rows_on_one_scale(matrix, ROWS)), matrix)
    floats = relative(dequantize(FLOATS, round_to_nearest(matrix, FLOATS)), matrix)
    assert rows < 1.02 * floats


def test_constant_and_empty_rows_survive() -> None:
    matrix = np.zeros(SHAPE, dtype=np.float32)
    matrix[1] = 0.5
    matrix[2, 7] = -3.0
    assert np.abs(dequantize(ROWS, rows_on_one_scale(matrix, ROWS)) - matrix).max() < 0.02


def test_bits_a_weight_costs() -> None:
    assert RowWeight(4, 32, (576, 576)).bits_per_weight == pytest.approx(4 + 24 / 32 + 32 / 576)


@pytest.mark.parametrize(
    ("text", "says"),
    [("csd", "fields"), ("csd:x", "integer"), ("cds:4", "no code 'cds'"), ("bits:4", "no negative"), ("csd:4:5", "T")],
)
def test_codes_that_cannot_be_named(text: str, says: str) -> None:
    with pytest.raises(PassError, match=f"code={text}: .*{says}"):
        named_code(text)
