"""Each family is captured and lowered once for all tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sdllm.compiler.frontend.coverage import Family, Subject, prepare


@pytest.fixture(scope="session")
def subject_of() -> Callable[[Family], Subject]:
    """A family's model and program."""
    ready: dict[str, Subject] = {}

    def subject(family: Family) -> Subject:
        if family.name not in ready:
            ready[family.name] = prepare(family)
        return ready[family.name]

    return subject
