"""What the backend prints and what it has no form for; what ops give is for the conformance suite."""

from __future__ import annotations

from typing import Any

import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.c.printers import PRINTERS
from sdllm.ir import OPS, Current, Train, Type

from ...ir.samples import World


def test_every_op_is_printed() -> None:
    assert set(PRINTERS) == set(OPS)


@pytest.mark.parametrize(
    ("of", "name", "attrs", "said"),
    [
        (Train(8, ("B", "S", 6)), "lif.mean", {}, "train<T=8>[B,S,6] has no form in C"),
        (Current(2, 8, ("B", "S", 6)), "lif.reshape", {"shape": ("B", "S", 2, 3)}, "cannot be reshaped in C"),
    ],
    ids=["steps", "reshape"],
)
def test_what_has_no_form_is_refused_with_the_reason(of: Type, name: str, attrs: dict[str, Any], said: str) -> None:
    world = World()
    world.op(name, world.input("x", of), **attrs)
    (reason,) = CBackend().supports(world.finish())
    assert said in reason
