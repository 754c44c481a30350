"""SpikeLLM's claim at equal ACE: salient channels with more steps, against the same pipeline without them.

    python benchmarks/spikellm.py MODEL TEXT -o FOLDER [--calibration TEXT] [--windows N] [--only PATTERN…]

Prints a Markdown table and writes FOLDER/spikellm.json. ACE: weight bits times spike bits times steps, a multiply-add;
rows that share a prefix share its work, and rows already measured are read from FOLDER, so a stopped run goes on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from scoring import ROTATE, Row, line, options, told, trials

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
    "| pipeline | perplexity | × source (95 %) | ACE | additions | spikes | steps | joules a token, literature | "
    "compile minutes | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = options(__doc__, "rows whose name one of these patterns finds")
    parser.add_argument("--pipeline", nargs="*", default=[], help="further rows, spelled out")
    args = parser.parse_args()
    chosen = {n: p for n, p in rows().items() if not args.only or any(re.search(word, n) for word in args.only)}
    table = []
    with trials(args) as (tried, source):
        print(f"\n{HEAD}", flush=True)
        for name, pipeline in {**chosen, **{p: p for p in args.pipeline}}.items():
            table.append(line(Row(name, "", "", pipeline), tried.outcome(pipeline), source))
            print(text_of(table[-1]), flush=True)
    (args.out / "spikellm.json").write_text(json.dumps(told(args, source, table), indent=1) + "\n", encoding="utf-8")


def text_of(entry: dict[str, Any]) -> str:
    """A row of the table."""
    cost, (low, high) = entry["cost"], entry["interval"]
    cells = [
        entry["curve"], f"{entry['perplexity']:.3f}", f"{entry['ratio']:.3f} ({low:.3f}–{high:.3f})",
        f"{cost['ace']:.2f}", f"{cost['additions']:.3f}", f"{cost['spikes']:.3f}", str(cost["steps"]),
        f"{cost['joules']['literature']:.3g}", f"{entry['minutes']:.1f}", f"{entry['peak_mb']:.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
