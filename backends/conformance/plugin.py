"""The pytest plugin that gathers the support matrix and ends the run with it.

The suite registers it by itself. Under pytest-xdist, whose tests run in other processes, name it:
`pytest -n 2 -p sdllm.backends.conformance.plugin`.
"""

from __future__ import annotations

import pytest

from .matrix import Cell, Matrix

NAME = "sdllm-conformance"
_matrix = Matrix()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the line that a test has in the matrix."""
    for name, told in report.user_properties:
        if name == NAME and (report.when == "call" or report.failed) and isinstance(told, dict):
            _matrix.add(Cell(**told) if not report.failed else Cell(**{**told, "says": "FAILS", "why": ""}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The matrix, in short: what is not wholly supported is named."""
    if not _matrix.cells:
        return
    terminalreporter.section("support matrix")
    for line in _matrix.lines():
        terminalreporter.write_line(line)


def matrix() -> Matrix:
    """What was gathered in this process."""
    return _matrix
