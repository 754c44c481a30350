"""SpikeLLM's claim at equal ACE: salient channels with more steps, against the same pipeline without them.

    python benchmarks/spikellm.py MODEL TEXT -o FOLDER [--calibration TEXT] [--windows N] [--only PATTERN…]

Prints a Markdown table and writes FOLDER/spikellm.json. ACE: weight bits times spike bits times steps, a multiply-add;
rows that share a prefix share its work, and rows already measured are read from FOLDER, so a stopped run goes on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from scoring import ROTATE, Row, line, options, seeded, told, trials
from sdllm.compiler.search import Outcome, Trials

KV = "attention_code=gif:8:1:true"
SALIENT_KV = f"{KV},attention_salient=gif:8:2:true"
BITWISE = "insert-encoders{code=bits:16,attention=false}"  # activations of 16 bits
COUNTED = 128  # tokens that these are counted on
BASES = {"rotated": f"{ROTATE},", "original": ""}

# By T: share of salient channels, and levels of keys and values that cost as much in all of them.
SHARES = {2: (0.1, "attention_code=gif:10:1:true"), 4: (0.05, "attention_code=gif:9:1:true")}
# By T and bits: levels of activations that cost as much in all channels, between two powers of two.
SAME_ACE = {(2, 4): 21, (2, 5): 45, (2, 6): 97, (4, 4): 24, (4, 5): 54}


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


def weights(bits: int, minimum: bool = False) -> str:
    """GPTQ with groups of 64."""
    return f"quantize-weights{{method=gptq,bits={bits},group=64{',minimum=true' * minimum}}}"


def apart(method: str, share: float, more: str = "") -> str:
    """Channels set apart."""
    return f"allocate-steps{{method={method},share={share:g}{more}}},"


def of_activations(base: str, bits: int, steps: int) -> dict[str, str]:
    """Rows of W4A`bits` with so many steps for salient channels, and controls that cost as much."""
    share, more_kv = SHARES[steps]
    levels, start = 2**bits, BASES[base]
    usual, top = f"gif:{levels}:1", steps * levels - 1
    name, obs, plain = f"{base}, W4A{bits}", f"{start}{apart('obs', share)}{weights(4)},", f"{start}{weights(4)},"
    spikes = Form(usual, f"gif:{levels}:{steps}", top).encoders(SALIENT_KV)
    longer = Form(usual, f"gif:{levels}:{steps + 1}", top).encoders(SALIENT_KV)
    same = Form(f"gif:{SAME_ACE[steps, bits]}:1").encoders(more_kv)
    much, fine = f"bits:{steps * bits}", f"gif:{steps * levels}:1"
    return {
        name: plain + Form(usual).encoders(KV),
        f"{base}, W4A{bits * (1 + share * (steps - 1)):g}, the same ACE": plain + same,
        f"{name}, spikellm, T={steps}": obs + spikes,
        f"{name}, spikellm, T={steps}, a step more": obs + longer,
        # Without spikes: bits of salient channels that cost as much as the steps, and bits with as many levels.
        f"{name}, mixed precision {steps * bits}/{bits}": obs + Form(usual, much).encoders(SALIENT_KV),
        f"{name}, mixed precision {bits + steps // 2}/{bits}": obs + Form(usual, fine).encoders(SALIENT_KV),
        f"{name}, a scale of their own, {share:.0%}": obs + Form(usual, usual).encoders(KV),
        f"{name}, random channels, T={steps}": f"{start}{apart('random', share)}{weights(4)},{spikes}",
    }  # fmt: skip


def spiking(code: str, salient: str, method: str, share: float, group: int) -> str:
    """Weights that spike under 16-bit activations, beside minima, on a rotated model."""
    more = f",salient_code={salient}" if salient else ""
    chosen = apart(method, share, f",attention=false,multiple={group}") if salient else ""
    quantised = f"quantize-weights{{method=gptq,group={group},minimum=true,code={code}{more}}}"
    return f"{ROTATE},{chosen}{quantised}"


# By T: group of the weights (salient channels are in whole groups), and by T and bits the share of channels with one
# bit more that costs as much as the steps of salient ones.
GROUPS = {2: 64, 4: 32}
MORE_BITS = {(2, 2): 0.2, (2, 3): 0.28, (4, 2): 0.31, (4, 3): 0.47}


def of_weights(bits: int, steps: int) -> dict[str, str]:
    """Rows of W`bits`A16, and controls that cost as much."""
    share, group, levels = SHARES[steps][0], GROUPS[steps], 2**bits
    name, usual, finer = f"rotated, W{bits}A16, groups of {group}", f"gif:{levels}:1", f"gif:{2 * levels}:1"
    much, more = f"gif:{min(2 ** (steps * bits), 128)}:1", MORE_BITS[steps, bits]
    return {
        name: spiking(usual, "", "", 0.0, group),
        f"{name}, spikellm, T={steps}": spiking(usual, f"gif:{levels}:{steps}", "obs", share, group),
        f"{name}, random channels, T={steps}": spiking(usual, f"gif:{levels}:{steps}", "random", share, group),
        f"{name}, mixed precision {min(steps * bits, 7)}/{bits}": spiking(usual, much, "obs", share, group),
        f"{name}, one bit more for so many at random, the same ACE": spiking(usual, finer, "random", more, group),
        f"{name}, one bit more for so many salient, the same ACE": spiking(usual, finer, "obs", more, group),
    }


def of_ternary() -> dict[str, str]:
    """Ternary weights whose salient ones have 4 steps, against binary ones whose salient ones have 7 bits: 1.34 steps,
    or bits, on average (PB-LLM as we read it, arXiv 2310.00034, by channels; 8 bits there).
    """
    group, share = 32, 0.135
    apart_ = apart("obs", share, f",attention=false,multiple={group}")
    ternary = f"quantize-weights{{method=gptq,group={group},code=gif:2:1:true,salient_code=gif:2:4:true}}"
    return {
        "rotated, ternary weights, spikellm, T=4, 1.34 steps": f"{ROTATE},{apart_}{ternary}",
        "rotated, PB-LLM-like, 7 bits/binary, 1.34 bits": spiking("gif:2:1", "gif:128:1", "obs", 0.0667, group),
    }


def of_omniquant() -> dict[str, str]:
    """W4A4 by learned clipping and scales, in 64 steps a block; and two steps for salient channels, learned with a bit
    more for these.
    """
    how = "bits=4,group=64,minimum=true,epochs=2,lwc_lr=0.05,let_lr=0.01,activations=4"
    learned, name = f"quantize-weights{{method=omniquant,{how}", "original, OmniQuant, W4A4"
    usual, same = Form("gif:16:1"), Form(f"gif:{SAME_ACE[2, 4]}:1")
    obs, spikes = apart("obs", 0.1, ",attention=true"), Form("gif:16:1", "gif:16:2", 31)
    return {
        name: f"{learned},attention=4}},{usual.encoders(KV)}",
        "original, OmniQuant, W4A4.4, the same ACE": f"{learned},attention=4}},{same.encoders(SHARES[2][1])}",
        f"{name}, spikellm, T=2": f"{obs}{learned},salient=5,attention=4}},{spikes.encoders(SALIENT_KV)}",
    }


def rows() -> dict[str, str]:
    """Pipelines by name. Rows that start alike follow each other."""
    found: dict[str, str] = {}
    for base in BASES:
        for steps, bits in SAME_ACE:
            found |= of_activations(base, bits, steps)
    for bits in (3, 2):
        usual, salient = Form("gif:256:1"), Form("gif:256:1", "gif:256:2", 511)
        found[f"rotated, W{bits}A8"] = f"{ROTATE},{weights(bits, True)},{usual.encoders(KV)}"
        obs = apart("obs", 0.1)
        found[f"rotated, W{bits}A8, spikellm, T=2"] = (
            f"{ROTATE},{obs}{weights(bits, True)},{salient.encoders(SALIENT_KV)}"
        )
    for bits in (3, 2):
        for steps in (2, 4):
            found |= of_weights(bits, steps)
    return found | of_ternary() | of_omniquant()


HEAD = (
    "| pipeline | perplexity | × source (95 %) | ACE | additions | spikes | steps | joules a token, literature | "
    "compile CPU minutes | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|"
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
            table.append(line(Row(name, "", "", pipeline), outcome(tried, seeded(pipeline, args.seed)), source))
            print(text_of(table[-1]), flush=True)
    (args.out / "spikellm.json").write_text(json.dumps(told(args, source, table), indent=1) + "\n", encoding="utf-8")


def outcome(tried: Trials, pipeline: str) -> Outcome:
    """A pipeline's outcome. Where it leaves activations float, 16 bits are scored as floats, which they are nearer to
    than the figures shown tell, and counted as spikes, bit by bit, on a few tokens: additions, ACE and joules.
    """
    found = tried.outcome(pipeline)
    if found.cost is not None:
        return found
    spikes = tried.outcome(f"{pipeline},{BITWISE}", tried.windows[:1, :COUNTED])
    return replace(spikes, losses=found.losses)


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
