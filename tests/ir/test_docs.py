"""The pages about the language are those of this language."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from sdllm.ir import CODES, OPS, parse_code, parse_program, parse_type, parse_weight_type, print_program, verify
from sdllm.ir.docs import ops_page

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "ir.md").read_text()


def test_the_ops_page_is_current() -> None:
    assert (DOCS / "ops.md").read_text() == ops_page(), "run: python -m sdllm.ir.docs > docs/ops.md"


def test_the_ops_page_has_every_op_and_attribute() -> None:
    entries = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", ops_page(), re.M | re.S))
    assert set(entries) == set(OPS)
    for name, definition in OPS.items():
        assert all(f"| `{key}` |" in entries[name] for key in definition.attrs)


def test_the_example_is_a_program() -> None:
    (text,) = re.findall(r"```spike\n(.*?)```", PAGE, re.S)
    program = verify(parse_program(text))
    comment = "// a comment\n"
    assert print_program(program) == text.replace(comment, "")
    assert comment in text


def test_the_types_are_types() -> None:
    table = PAGE[PAGE.index("| type |") : PAGE.index("Weights are")]
    written = re.findall(r"^\| `([^`]*)`", table, re.M)
    assert len(written) == 7
    for text in written:
        complete = text.replace("…", "B,S,9")
        assert str(parse_type(complete)) == complete
    weights = re.findall(r"`([^`]*\[[^`]*\])`", PAGE[PAGE.index("Weights are") : PAGE.index("A membrane has")])
    assert len(weights) == 5
    for text in weights:
        complete = text.replace("…", "5").replace("out,in", "5,6")
        assert str(parse_weight_type(complete)) == complete


@pytest.mark.parametrize(
    ("text", "equation", "steps", "hi"),
    [
        ("binary{T=5}", lambda n, t: t < n, 5, 5),
        ("ternary{T=5}", lambda n, t: np.sign(n) * (t < abs(n)), 5, 5),
        ("bits{T=5}", lambda n, t: n // 2 ** (4 - t) % 2, 5, 2**5 - 1),
        ("signed_bits{T=5}", lambda n, t: np.sign(n) * (abs(n) // 2 ** (4 - t) % 2), 5, 2**5 - 1),
        ("csd{T=5}", None, 5, 2**6 // 3),
        ("gif{L=4, T=5, signed=true}", lambda n, t: np.sign(n) * np.clip(abs(n) - t * 3, 0, 3), 5, 15),
        ("ramp{base=4, digits=2}", lambda n, t: np.sign(n) * (3 - t % 3 == abs(n) // 4 ** (1 - t // 3) % 4), 6, 15),
    ],
)
def test_the_equations_of_the_codes(text: str, equation, steps: int, hi: int) -> None:
    code = parse_code(text)
    assert f"`{code.name}{{" in PAGE
    assert (code.steps, code.hi) == (steps, hi)
    train = code.encode(np.arange(code.lo, code.hi + 1))
    for column, n in zip(train.T, range(code.lo, code.hi + 1), strict=True):
        if equation is not None:
            assert column.tolist() == [int(equation(n, t)) for t in range(code.steps)]


def test_every_code_is_on_the_page() -> None:
    for name, of in CODES.items():
        names = ", ".join(f.name for f in fields(of))
        assert f"| `{name}{{{names}}}` |" in PAGE
