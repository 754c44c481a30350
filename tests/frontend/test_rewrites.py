"""The passes meet every family: exact ones change nothing, and the recipe sdllm turns every linear but the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from sdllm.backends.registry import backend
from sdllm.compiler.frontend.coverage import FAMILIES, Family, Subject, check_family
from sdllm.compiler.frontend.coverage.parity import BOUND
from sdllm.compiler.recipes import SDLLM, parse_pipeline
from sdllm.ir import Program, Store
from sdllm.passes import Context, run_pipeline
from sdllm.passes.graph import body_linears

Prepare = Callable[[Family], Subject]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)

# Rewritten sums are added in another order, so they may differ a little more than the captured ones.
SLACK = 4


@contextmanager
def kept(store: Store) -> Iterator[Store]:
    """The manager forgets weights of programs in between; other tests still want those of the captured one."""
    copy = Store()
    copy._parts, copy._lazy = dict(store._parts), dict(store._lazy)
    yield copy


def rewritten(subject: Subject, pipeline: str) -> tuple[Program, Store]:
    ids = np.random.default_rng(0).integers(3, 90, (2, 24))
    with kept(subject.store) as store:
        return run_pipeline(subject.program, parse_pipeline(pipeline), Context(store, ids)), store


@each_family
def test_exact_passes_leave_the_model_alone(family: Family, subject_of: Prepare) -> None:
    subject = subject_of(family)
    program, store = rewritten(subject, "fold-norms,fold-scales,rotate{strict=false}")
    assert program != subject.program
    assert check_family(replace(subject, program=program, store=store)).error <= SLACK * BOUND


@each_family
def test_recipe_spikes_every_linear_but_the_head(family: Family, subject_of: Prepare) -> None:
    subject = subject_of(family)
    program, _ = rewritten(subject, SDLLM.pipeline)
    assert body_linears(program) == []
    names = [op.name for op in program.ops]
    assert names.count("spike.linear") == len(body_linears(subject.program))
    assert names.count("spike.matmul") == 2 * [op.name for op in subject.program.ops].count("nn.attend")
    assert backend("simulator").supports(program) == []
