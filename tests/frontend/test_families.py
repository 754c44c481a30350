"""Every family: its program computes what transformers computes, and each attribute of its ops is needed for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sdllm.compiler.errors import InputError
from sdllm.compiler.frontend import capture
from sdllm.compiler.frontend.coverage import FAMILIES, REFUSED, Family, Refused, Subject, check_family
from sdllm.compiler.frontend.coverage.parity import BOUND
from sdllm.ir import Program, parse_program, print_program, verify

from .mutations import mutants, sharpened

Prepare = Callable[[Family], Subject]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)


@each_family
def test_program_equals_model(family: Family, subject_of: Prepare) -> None:
    result = check_family(subject_of(family))
    assert result.error <= BOUND
    assert 1.0 <= result.largest <= 20.0  # large enough for the bound to mean something


@each_family
def test_every_attribute_matters(family: Family, subject_of: Prepare) -> None:
    subject = subject_of(family)
    wrong = [*mutants(subject.program), *sharpened(subject.program)]
    unseen = [name for name, program in wrong if not _noticed(subject, program)]
    assert len(wrong) >= 5
    assert unseen == []


def _noticed(subject: Subject, program: Program) -> bool:
    return not check_family(replace(subject, program=program)).error <= BOUND


@each_family
def test_program_text_round_trips(family: Family, subject_of: Prepare) -> None:
    program = subject_of(family).program
    assert verify(parse_program(print_program(program))) == program


@each_family
def test_every_op_says_where_it_comes_from(family: Family, subject_of: Prepare) -> None:
    for op in subject_of(family).program.ops:
        assert op.loc.sources, op.name
        assert all(".py:" in source for source in op.loc.sources)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda r: r.name)
def test_is_refused_with_a_reason(refused: Refused) -> None:
    with pytest.raises(InputError, match=refused.says) as caught:
        capture(refused.build())
    assert "\n" not in str(caught.value)


def test_names_are_unique() -> None:
    names = [f.name for f in FAMILIES] + [r.name for r in REFUSED]
    assert len(set(names)) == len(names)
