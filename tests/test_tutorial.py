"""docs/write-a-backend.md: followed word by word (slow), and its code tried without installing anything."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sdllm.backends.conformance import suite
from sdllm.backends.conformance.bench import Bench
from sdllm.backends.conformance.families import FAMILIES
from sdllm.compiler.scaffold import write_backend

from .test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "write-a-backend.md"


def followed(folder: Path) -> Path:
    """The package with all that the page adds to it."""
    write_backend("mine", folder)
    code = folder / "sdllm_mine.py"
    added = [text for language, text in blocks(PAGE) if language == "py"]
    assert len(added) == 2
    code.write_text("\n\n".join([code.read_text(), *added]))
    return code


def test_the_code_of_the_page_runs_the_models_it_names(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("sdllm_mine", followed(tmp_path / "sdllm-mine"))
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["sdllm_mine"] = made  # where inspect finds the text of kernels
    spec.loader.exec_module(made)
    bench = Bench(made.MineBackend(), tmp_path / "emitted")
    says: dict[str, Any] = {}

    def tell(section: str, row: str) -> dict[str, Any]:
        return says.setdefault(row, {"section": section, "row": row, "says": "yes"})

    for family in FAMILIES:
        suite.test_model(family, bench, tell)
    taken = {row for row, cell in says.items() if cell["says"] == "yes"}
    assert {"llama, dense", "llama", "mistral"} <= taken < {f.name for f in FAMILIES}
    for family in FAMILIES:
        if family.name in taken:
            suite.test_decode_follows_prefill(family, bench, tell)
    suite.test_length(65, bench, tell)
    suite.test_same_bytes(bench, tell)


@pytest.mark.slow
def test_the_page_word_by_word(tiny: Path, tmp_path: Path, own_environment: dict[str, str]) -> None:
    """In an environment of its own, which sees this one's packages."""
    told = []
    for language, text in blocks(PAGE):
        if language == "py":
            with (tmp_path / "sdllm-mine" / "sdllm_mine.py").open("a") as code:
                code.write(f"\n\n{text}")
        if language != "sh":
            continue
        text = re.sub(r"\bpath/to/model\b", str(tiny), text)
        done = subprocess.run(
            ["sh", "-ec", text], cwd=tmp_path, env=own_environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        told.append(done.stdout)
    assert re.search(r"mine +sdllm-mine 0\.1\.0 ", told[0])
    assert f"mine: 0 of {len(FAMILIES)} models" in told[1]
    assert re.search(rf"mine: [1-9]\d* of {len(FAMILIES)} models", told[2])
    assert "rms_norm(" not in told[3]  # of the MLP alone
    assert "spike_linear(" in told[3]
