"""Building on first use: cached by content, one line where there is no compiler."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sdllm.backends.c.build import OBJECTS, cache, library, sources
from sdllm.backends.c.runner import SHAPES, CRunner
from sdllm.ir import IRError

from ...toys import toy_decoder
from .common import emit


def test_a_library_is_built_once(tmp_path: Path) -> None:
    first = emit(*toy_decoder(1), tmp_path / "a")
    made = library(first)
    when = made.stat().st_mtime_ns
    assert library(emit(*toy_decoder(1), tmp_path / "b")) == made
    assert made.stat().st_mtime_ns == when
    assert library(emit(*toy_decoder(1, seed=1), tmp_path / "c")) != made
    assert not list(cache().glob("model-*.o"))


def test_a_folder_from_before_trains_is_built_and_runs(tmp_path: Path) -> None:
    """It has no lif.c, and its shapes.json names no forms."""
    folder = emit(*toy_decoder(1, seed=4), tmp_path)
    (folder / "lif.c").unlink()
    makefile = folder / "Makefile"
    makefile.write_text(makefile.read_text().replace(" lif.o", ""))
    ids = np.array([[1, 2, 3]])
    want = CRunner(folder).run(ids)["logits"]
    shapes = json.loads((folder / SHAPES).read_text())
    old = {kind: {name: of[:2] for name, of in values.items()} for kind, values in shapes.items()}
    (folder / SHAPES).write_text(json.dumps(old))
    np.testing.assert_array_equal(CRunner(folder).run(ids)["logits"], want)


@pytest.mark.parametrize("name", ["threads.c", "model.c", "Makefile"])
def test_a_folder_that_lacks_a_file_is_refused_before_it_is_built(name: str, tmp_path: Path) -> None:
    folder = emit(*toy_decoder(1, seed=4), tmp_path)
    (folder / name).unlink()
    with pytest.raises(IRError, match=rf"{name}.*emit the folder again"):
        library(folder)


def test_sources_are_what_the_makefile_names(tmp_path: Path) -> None:
    assert sources(emit(*toy_decoder(1), tmp_path)) == list(OBJECTS)


def test_several_may_build_one_model_at_once(tmp_path: Path) -> None:
    library(emit(*toy_decoder(1), tmp_path / "kernels"))
    folder = emit(*toy_decoder(1, seed=9), tmp_path / "model")
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(library, [folder] * 4))) == 1


def test_no_compiler_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = emit(*toy_decoder(1, seed=2), tmp_path)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="needs a C compiler") as raised:
        CRunner(folder)
    assert "\n" not in str(raised.value)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(Exception, match="the C compiler no-such-compiler does not run"):
        CRunner(folder)


def test_a_compiler_that_fails_is_said(tmp_path: Path) -> None:
    folder = emit(*toy_decoder(1, seed=3), tmp_path)
    (folder / "model.c").write_text("#error broken on purpose\n")
    with pytest.raises(Exception, match="broken on purpose"):
        CRunner(folder)
