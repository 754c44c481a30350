"""A headless Chromium that pages are looked at with; where there is none, those tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.cli import main

from ..conftest import SMALL

_QUIET = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip

Look = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, a fresh profile of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=list(_QUIET))
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: Any) -> Look:
    """`with look(file, width=…, dark=…) as page`: the page must ask for nothing and complain about nothing."""

    @contextmanager
    def opened(file: Path, width: int = 1280, dark: bool = False) -> Iterator[Any]:
        scheme = "dark" if dark else "light"
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page, said, asked = context.new_page(), [], []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.absolute().as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        yield page
        assert said == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        context.close()

    return opened


@pytest.fixture(scope="session")
def other(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model under another pipeline than `compiled`."""
    out = tmp_path_factory.mktemp("outs") / "other"
    pipeline = "quantize-weights{bits=4,group=16},insert-encoders{levels=15}"
    assert main(["compile", str(tiny), "-o", str(out), "--pipeline", pipeline, *SMALL]) == 0
    assert open_artifact(out).metrics
    return out
