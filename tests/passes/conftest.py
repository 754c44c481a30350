"""Text tests: a `.spike` file holds a program, the pipeline to run on it, and what must be in the result.

    // RUN: fold-norms           the pipeline
    // CHECK: nn.rms_norm %0     FileCheck lines on the printed result (its notes follow as `note MODULE: TEXT`)

Weights are declared without a hash and drawn from their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from filecheck.matcher import Matcher
from filecheck.options import Options
from sdllm.compiler.recipes import parse_pipeline
from sdllm.ir import print_program
from sdllm.passes import Context, PassError, run_pipeline

from .seeded import seeded, tokens


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".spike":
        return SpikeFile.from_parent(parent, path=file_path)
    return None


class SpikeFile(pytest.File):
    """One text test."""

    def collect(self) -> Iterator[pytest.Item]:
        yield SpikeTest.from_parent(self, name="filecheck")


class SpikeTest(pytest.Item):
    """Runs the pipeline of a file and FileChecks the result."""

    def runtest(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        (pipeline,) = (line[8:].strip() for line in text.splitlines() if line.startswith("// RUN:"))
        program, store = seeded(text)
        context = Context(store, tokens(program))
        try:
            printed = print_program(run_pipeline(program, parse_pipeline(pipeline), context))
        except PassError as error:
            printed = f"error: {error}\n"
        printed += "".join(f"note {n.module or '(program)'}: {n.text}\n" for n in context.notes)
        result = self.config.rootpath / ".pytest_cache" / f"{self.path.stem}.out"
        result.parent.mkdir(exist_ok=True)
        result.write_text(printed, encoding="utf-8")
        if Matcher.from_opts(Options(str(self.path), str(result))).run():
            raise AssertionError(f"{self.path.name} does not match; the result was\n{printed}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: str | None = None) -> str:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.path.name
