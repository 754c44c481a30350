"""SpikeLLM's claim at equal ACE: salient channels with more steps, against the same pipeline without them.

    python benchmarks/spikellm.py MODEL TEXT -o FOLDER [--calibration TEXT] [--windows N] [--only PATTERN…]

Prints a Markdown table. ACE is weight bits times spike bits times steps, a multiply-add; rows that share a prefix share
its work, and rows already measured are read from FOLDER, so a stopped run goes on.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from frontier import ROTATE, Row, line
from sdllm.compiler.calibration import tokenize
from sdllm.compiler.compile import Request, prepare
from sdllm.compiler.evaluation.perplexity import WINDOW, windows
from sdllm.compiler.memory import keep_freed_memory
from sdllm.compiler.search import Trials
from sdllm.compiler.ui import reporter

KV = "attention_code=gif:8:1:true"
MORE_KV = "attention_code=gif:10:1:true"  # what a second step of 6 of 64 channels costs
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
    """Pipelines by name. Rows that start alike follow each other."""
    found: dict[str, str] = {}

    def add(base: str, name: str, apart: str, form: Form, kv: str) -> None:
        middle = f"allocate-steps{{{apart}}}," if apart else ""
        found[f"{base}, {name}"] = f"{BASES[base]}{middle}{weights(4)},{form.encoders(kv)}"

    for base in BASES:
        for bits, between in ((4, 21), (5, 45), (6, 97)):
            # Levels between two powers of two: what 10 % of the channels with twice the steps cost.
            add(base, f"W4A{bits}", "", Form(f"gif:{2**bits}:1"), KV)
            add(base, f"W4A{bits * 1.1:g}, the same ACE", "", Form(f"gif:{between}:1"), MORE_KV)
        for method in ("obs", "random"):
            apart = f"method={method},share=0.1"
            for bits in (4, 5, 6):
                levels = 2**bits
                usual, double = f"gif:{levels}:1", 2 * levels - 1
                name = f"W4A{bits}, {'spikellm' if method == 'obs' else 'random channels'}, T=2"
                add(base, name, apart, Form(usual, f"gif:{levels}:2", double), SALIENT_KV)
                if method == "random":
                    continue
                add(base, f"{name}, a step more", apart, Form(usual, f"gif:{levels}:3", double), SALIENT_KV)
                # Without spikes: bits of salient channels that cost as much as two steps, and one bit more.
                much = f"bits:{2 * bits}"
                add(base, f"W4A{bits}, mixed precision {2 * bits}/{bits}", apart, Form(usual, much), SALIENT_KV)
                more = f"gif:{2 * levels}:1"
                add(base, f"W4A{bits}, mixed precision {bits + 1}/{bits}", apart, Form(usual, more), SALIENT_KV)
                add(base, f"W4A{bits}, a scale of their own", apart, Form(usual, usual), KV)
        for bits in (4, 5):
            apart, levels = "method=obs,share=0.05", 2**bits
            form = Form(f"gif:{levels}:1", f"gif:{levels}:4", 4 * levels - 1)
            add(base, f"W4A{bits}, spikellm, T=4", apart, form, SALIENT_KV)
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
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name one of these patterns finds")
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
    chosen = {n: p for n, p in rows().items() if not args.only or any(re.search(word, n) for word in args.only)}
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
