"""`python -m sdllm.backends.conformance [NAME …]`: the suite on installed backends, ending in their support matrix."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pytest

from ..interface import Backend
from ..registry import NotFound, backend, provided
from . import plugin

MARKS = ("<!-- made by python -m sdllm.backends.conformance --write; do not edit -->", "<!-- end -->")
TEST = "from sdllm.backends.conformance import *\n"


class Chosen:
    """Gives every test each of some backends."""

    def __init__(self, backends: list[Backend]) -> None:
        self.backends = backends

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "backend" in metafunc.fixturenames:
            metafunc.parametrize("backend", self.backends, ids=[b.name for b in self.backends])


def put(page: Path, text: str) -> None:
    """Write text between the marks of a page. Raises ValueError if it has none."""
    before, first, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not first or not last:
        raise ValueError(f"{page}: has no lines {MARKS[0]} and {MARKS[1]}")
    page.write_text(f"{before}{MARKS[0]}\n\n{text}\n{MARKS[1]}{after}", encoding="utf-8", newline="\n")


def main() -> int:
    """The command line: 0 if every test passed, 1 if not, 2 if the call is wrong."""
    parser = argparse.ArgumentParser(description="Run the conformance suite on installed backends.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="backends, default all that are installed")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the matrix between the marks of this page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the matrix as JSON")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="only tests whose names match, as pytest has it")
    given = parser.parse_args()
    try:
        backends = [backend(name) for name in given.names or provided("sdllm.backends")]
    except NotFound as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as folder:
        test = Path(folder) / "test_conformance.py"
        test.write_text(TEST, encoding="utf-8")
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        words = ["-q", "-p", "no:cacheprovider", "-c", str(Path(folder) / "pytest.ini"), "-k", given.k, str(test)]
        code = int(pytest.main(words, plugins=[Chosen(backends)]))
    found = plugin.matrix()
    if given.write:
        put(given.write, found.markdown())
    if given.json:
        given.json.write_text(json.dumps(found.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return min(code, 1)


if __name__ == "__main__":
    sys.exit(main())
