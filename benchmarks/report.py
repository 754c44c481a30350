"""Size and load time of reports in headless Chromium.

    python benchmarks/report.py OUT…           # compiled folders
    python benchmarks/report.py --layers 80    # a synthetic Llama of so many layers, random weights, compiled first

Times are what the browser says of a file opened from disk, from the start of navigation: first contentful paint, the
end of the load event, and when the last figure is alive (raster, diagram, sorting); medians of several openings, each
in a fresh context.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from sdllm.compiler.compile import Request, compile_model
from sdllm.compiler.report import write_report

PIPELINE = (
    "fold-norms,fold-scales,rotate{strict=false},quantize-weights{bits=4,group=32},"
    "insert-encoders{code=csd:5,threshold=mean,factor=0.25},recode"
)
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_TIMING = "performance.getEntriesByType('navigation')[0].loadEventEnd"
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"
_READY = """new Promise(done => {
  const look = () => "ready" in document.documentElement.dataset ? done(performance.now()) : setTimeout(look, 2);
  look();
})"""


def synthetic(layers: int, folder: Path) -> Path:
    """A Llama of random weights with so many layers, compiled."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    LlamaForCausalLM(config).eval().save_pretrained(folder / "model")
    out = folder / f"{layers}-layers"
    return compile_model(Request(str(folder / "model"), out, pipeline=PIPELINE, sequences=4, length=64, held_out=2))


def loads(browser: Browser, page: Path, times: int) -> Iterator[tuple[float, float, float]]:
    """Milliseconds to first paint, to the end of the load event and until all is alive, for each opening."""
    for _ in range(times):
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        opened = context.new_page()
        opened.goto(page.absolute().as_uri(), wait_until="load")
        ready = opened.evaluate(_READY)
        yield opened.evaluate(_PAINT), opened.evaluate(_TIMING), ready
        context.close()


def main() -> None:
    """Print a line for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="*", help="compiled folders")
    parser.add_argument("--layers", type=int, help="layers of a synthetic model")
    parser.add_argument("--times", type=int, default=5, help="openings of each report (default 5)")
    parser.add_argument("--keep", type=Path, help="folder for reports and the synthetic model (default: none is kept)")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("there is no Chromium on this machine")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as p:
        keep = args.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        folders = [*args.out, *([synthetic(args.layers, keep)] if args.layers else [])]
        browser = p.chromium.launch(executable_path=chromium, args=QUIET)
        print(f"{'folder':<24}{'MB':>8}{'written in s':>14}{'first paint ms':>16}{'load ms':>10}{'alive ms':>10}")
        for folder in folders:
            page = keep / f"{folder.name}.html"
            began = time.perf_counter()
            write_report([folder], page)
            written = time.perf_counter() - began
            paint, load, alive = map(statistics.median, zip(*loads(browser, page, args.times), strict=True))
            size = page.stat().st_size / 1e6
            print(f"{folder.name:<24}{size:>8.2f}{written:>14.1f}{paint:>16.0f}{load:>10.0f}{alive:>10.0f}")
        browser.close()


if __name__ == "__main__":
    main()
