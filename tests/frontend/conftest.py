"""Each family is captured and lowered once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from sdllm.compiler.frontend.coverage import Family, Subject, prepare


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The models are too small for more, and threads of several test processes would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def subject_of() -> Callable[[Family], Subject]:
    """A family's model and program."""
    ready: dict[str, Subject] = {}

    def subject(family: Family) -> Subject:
        if family.name not in ready:
            ready[family.name] = prepare(family)
        return ready[family.name]

    return subject
