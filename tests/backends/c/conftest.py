"""C is compiled with little optimisation here, and what models share only once for all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from sdllm.backends.c.build import cache


@pytest.fixture(scope="session", autouse=True)
def quick_builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this run (of all its processes), and -O1."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))) and "CC" not in os.environ:
        pytest.skip("there is no C compiler")
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDLLM_CACHE", str(base / "c-cache"))
        patch.setenv("SDLLM_CFLAGS", "-O1")
        patch.delenv("SDLLM_THREADS", raising=False)
        patch.delenv("SDLLM_ISA", raising=False)
        assert cache().is_relative_to(base)
        yield
