"""SpikeLLM's claim at equal ACE: salient channels with more steps, against the same pipeline without them.

    python benchmarks/spikellm.py MODEL TEXT -o FOLDER [--calibration TEXT] [--windows N] [--only NAME…]

Prints a Markdown table. ACE is weight bits times spike bits times steps, a multiply-add; rows that share a prefix share
its work, and rows already measured are read from FOLDER, so a stopped run goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from frontier import Row, line
from sdllm.compiler.calibration import tokenize
from sdllm.compiler.compile import Request, prepare
from sdllm.compiler.evaluation.perplexity import WINDOW, windows
from sdllm.compiler.memory import keep_freed_memory
from sdllm.compiler.search import Trials
from sdllm.compiler.ui import reporter

ROTATE = "fold-norms,fold-scales,rotate{strict=false}"
KV = "attention_code=gif:8:1:true"
SALIENT_KV = f"{KV},attention_salient=gif:8:2:true"
BASES = {"rotated": f"{ROTATE},", "original": ""}


@dataclass(frozen=True)
class Form:
    """How activations are counted: `plain` for all channels, `salient` for those set apart."""

    plain: str
    salient: str = ""
    top: int = 0

    def encoders(self, attention: str) -> str:
        """insert-encoders with it."""
        salient = f",salient={self.salient},salient_levels={self.top}" if self.salient else ""
        return f"insert-encoders{{code={self.plain}{salient},{attention}}}"


def weights(bits: int) -> str:
    """GPTQ with groups of 64."""
    return f"quantize-weights{{method=gptq,bits={bits},group=64}}"


def rows() -> dict[str, str]:
    """Pipelines by name. Rows of one prefix follow each other."""
    found: dict[str, str] = {}

    def add(name: str, base: str, apart: str, form: Form, kv: str, bits: int = 4) -> None:
        middle = f"allocate-steps{{{apart}}}," if apart else ""
        found[name] = f"{BASES[base]}{middle}{weights(bits)},{form.encoders(kv)}"

    for base in BASES:
        add(f"{base}, W4A4", base, "", Form("gif:16:1"), KV)
        add(f"{base}, W4A4 symmetric", base, "", Form("gif:8:1:true"), KV)
        # 4.4 bits, as 10 % of the channels with twice the steps cost.
        add(f"{base}, W4A4.4", base, "", Form("gif:21:1"), KV)
        add(f"{base}, W4A5", base, "", Form("gif:32:1"), KV)
        for method in ("obs", "random", "magnitude"):
            name = {"obs": "spikellm T=2", "random": "random channels, T=2", "magnitude": "largest channels, T=2"}[
                method
            ]
            apart = f"method={method},share=0.1"
            add(f"{base}, W4A4, {name}", base, apart, Form("gif:16:1", "gif:16:2", 31), SALIENT_KV)
            if method == "obs":
                add(f"{base}, W4A4, {name}, step more", base, apart, Form("gif:16:1", "gif:16:3", 31), SALIENT_KV)
                # Without spikes: salient channels have one step of 8 bits, which costs as much as two of 4.
                add(f"{base}, W4A4, mixed precision 8/4", base, apart, Form("gif:16:1", "gif:256:1"), SALIENT_KV)
                add(f"{base}, W4A4, mixed precision 5/4", base, apart, Form("gif:16:1", "gif:32:1"), SALIENT_KV)
                add(f"{base}, W4A4, set apart, 4/4", base, apart, Form("gif:16:1", "gif:16:1"), KV)
        apart = "method=obs,share=0.05"
        add(f"{base}, W4A4, spikellm T=4", base, apart, Form("gif:16:1", "gif:16:4", 63), SALIENT_KV)
        add(f"{base}, W4A4, spikellm T=4, step more", base, apart, Form("gif:16:1", "gif:16:5", 63), SALIENT_KV)
    return found


HEAD = (
    "| pipeline | perplexity | × source (95 %) | ACE | additions | spikes | steps | joules a token, literature |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder, .gguf file or hub id")
    parser.add_argument("text", type=Path, help="text to score on")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, help="text for passes to measure on; default: self-written")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--window", type=int, default=WINDOW)
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name has one of these")
    parser.add_argument("--pipeline", nargs="*", default=[], help="further rows, spelled out")
    args = parser.parse_args()
    keep_freed_memory()
    ui = reporter()
    prepared = prepare(Request(args.model, Path(), calibration=args.calibration), ui)
    ids = tokenize(args.text, prepared.model.tokenizer).tolist()
    scored = windows(ids, args.window, args.windows, str(args.text))
    trials = Trials(prepared, scored, args.out, progress=ui.progress)
    source = trials.source()
    print(
        f"source: perplexity {source.perplexity:.3f} on {len(scored)} windows of {args.window} tokens\n\n{HEAD}",
        flush=True,
    )
    chosen = {n: p for n, p in rows().items() if not args.only or any(word in n for word in args.only)}
    for name, pipeline in {**chosen, **{p: p for p in args.pipeline}}.items():
        entry = line(Row(name, "", "", pipeline), trials.outcome(pipeline), source)
        cost, (low, high) = entry["cost"], entry["interval"]
        cells = [
            name, f"{entry['ratio'] * source.perplexity:.3f}", f"{entry['ratio']:.3f} ({low:.3f}–{high:.3f})",
            f"{cost['ace']:.2f}", f"{cost['additions']:.3f}", f"{cost['spikes']:.3f}", str(cost["steps"]),
            f"{cost['joules']['literature']:.3g}",
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)
    ui.close()


if __name__ == "__main__":
    main()
