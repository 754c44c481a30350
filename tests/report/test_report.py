"""The report holds what the folder says, asks for nothing, and opens in a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.report.folder import NO_JOURNAL, NO_MEASURE
from sdllm.compiler.report.sections import SECTIONS

from ..conftest import SMALL
from .conftest import Look

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def page(cli: Cli, compiled: Path, tmp_path: Path) -> Path:
    out = tmp_path / "report.html"
    code, told, _ = cli("report", compiled, "-o", out)
    assert code == 0
    assert str(out) in told
    return out


def test_it_says_what_was_measured(page: Path, compiled: Path) -> None:
    text, artifact = page.read_text(encoding="utf-8"), open_artifact(compiled)
    for section in SECTIONS:
        assert f'<section id="{section.anchor}">' in text
    like = artifact.metrics["likeness"]
    assert f"{like['ratio']:.3f} times the source" in text
    assert f"{artifact.metrics['firing']['linear']['additions_per_weight']:.2f} additions" in text
    for name in (*artifact.manifest["pipeline"], *artifact.manifest["files"], *artifact.manifest["versions"]):
        assert name in text
    for line in artifact.metrics["layers"]:
        assert line["module"].split(".layers.")[1].partition(".")[2] in text
    assert "<code>sdllm-compile energy</code>" in text
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_text_of_the_model_cannot_become_markup(compiled: Path, tmp_path: Path, cli: Cli) -> None:
    evil = tmp_path / "evil"
    shutil.copytree(compiled, evil)
    manifest = json.loads((evil / "manifest.json").read_text())
    manifest["source"]["licence"] = "</script><img src=x onerror=alert(1)>"
    (evil / "manifest.json").write_text(json.dumps(manifest))
    assert cli("report", evil, "-o", tmp_path / "evil.html")[0] == 0
    assert "<img" not in (tmp_path / "evil.html").read_text()


def test_several_folders_stand_side_by_side(cli: Cli, compiled: Path, other: Path, tmp_path: Path, look: Look) -> None:
    out = tmp_path / "both.html"
    assert cli("report", compiled, other, "-o", out)[0] == 0
    with look(out, width=1600) as page:
        sides = page.locator("#verdict article")
        boxes = [sides.nth(i).bounding_box() for i in range(2)]
        assert boxes[0]["y"] == boxes[1]["y"]
        assert [page.locator("#verdict h3").nth(i).inner_text() for i in range(2)] == [compiled.name, other.name]
    with look(out, width=400) as page:
        boxes = [page.locator("#verdict article").nth(i).bounding_box() for i in range(2)]
        assert boxes[0]["y"] < boxes[1]["y"]


def test_folders_without_journal_or_figures_say_so(cli: Cli, compiled: Path, tiny: Path, tmp_path: Path) -> None:
    old, bare = tmp_path / "old", tmp_path / "bare"
    shutil.copytree(compiled, old)
    for name in ("journal.json", "raster.json", "machine.json"):
        (old / name).unlink()
    assert cli("compile", tiny, "-o", bare, "--no-measure", *SMALL)[0] == 0
    for folder, words in ((old, NO_JOURNAL), (bare, NO_MEASURE)):
        assert cli("report", folder, "-o", tmp_path / "r.html")[0] == 0
        assert words in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_dense_program_has_a_report(cli: Cli, tiny: Path, tmp_path: Path, look: Look) -> None:
    assert cli("compile", tiny, "-o", tmp_path / "dense", "--recipe", "dense", *SMALL)[0] == 0
    assert cli("report", tmp_path / "dense", "-o", tmp_path / "r.html")[0] == 0
    with look(tmp_path / "r.html") as page:
        assert "0.0% of the multiply-adds" in page.locator("#coverage").inner_text()


@pytest.mark.parametrize("words", [("nowhere",), ("OUT", "-o", "missing/folder/r.html"), ("OUT", "-o", ".")])
def test_bad_calls(cli: Cli, compiled: Path, words: tuple[str, ...]) -> None:
    code, _, said = cli("report", *(str(compiled) if w == "OUT" else w for w in words))
    assert code == 2
    assert said.count("\n") == 1


def test_json(cli: Cli, compiled: Path, tmp_path: Path) -> None:
    code, told, _ = cli("report", compiled, "-o", tmp_path / "r.html", "--json")
    assert code == 0
    assert json.loads(told)["bytes"] == (tmp_path / "r.html").stat().st_size


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1600])
def test_it_fits_its_window_in_light_and_dark(page: Path, look: Look, width: int, dark: bool) -> None:
    with look(page, width, dark) as opened:
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        back = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", back)[:3])) > 380
        assert light != dark


def test_the_keyboard_suffices(page: Path, look: Look) -> None:
    with look(page) as opened:
        opened.keyboard.press("Tab")
        assert opened.evaluate("document.activeElement.className") == "skip"
        opened.keyboard.press("Enter")
        assert opened.evaluate("document.activeElement.id") == "main"
        summary = opened.locator("#energy summary").first
        summary.focus()
        opened.keyboard.press("Enter")
        assert summary.evaluate("node => node.parentElement.open")
        head = opened.locator("#gap table").nth(1).locator("th button").nth(2)
        for order in ("ascending", "descending"):
            head.focus()
            opened.keyboard.press("Enter")
            assert head.evaluate("node => node.parentElement.ariaSort") == order
            cells = opened.locator("#gap table").nth(1).locator("tbody td:nth-child(4)").all_inner_texts()
            values = [float(c) for c in cells]
            assert values == sorted(values, reverse=order == "descending")


def test_the_raster_shows_the_chosen_encoder_and_tokens(page: Path, compiled: Path, look: Look) -> None:
    encoders = json.loads((compiled / "raster.json").read_text())["encoders"]
    with look(page) as opened:
        figure = opened.locator("[data-widget=raster]")
        figure.scroll_into_view_if_needed()
        assert figure.locator("option").count() == len(encoders)
        told = figure.locator(".said").inner_text()
        figure.locator("select").select_option("3")
        assert figure.locator(".said").inner_text() != told
        figure.locator("input").nth(0).fill("2")
        figure.locator("input").nth(1).fill("4")
        assert figure.locator("tbody tr").count() == 3
        assert "over 3 tokens" in figure.locator(".said").inner_text()
        painted = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
        assert figure.locator("canvas").evaluate(painted) > 3
