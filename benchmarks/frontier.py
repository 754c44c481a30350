"""Perplexity against additions: every encoder on every weight format, scored as compiled programs.

    python benchmarks/frontier.py MODEL TEXT -o FOLDER [--calibration TEXT] [--windows N] [--only NAME…]

Writes FOLDER/frontier.json, .md and .svg. Rows already measured are read from FOLDER/trials, so a stopped run goes on.
Needs matplotlib, which sdllm itself does not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from scoring import ROTATE, Row, line, options, seeded, told, trials
from sdllm.compiler.search import Outcome

# How weights are held. Rotation changes the weights, so a rotated model has no grid of its source's left.
WEIGHTS = {
    "fp32": "",
    "W4": "quantize-weights{method=gptq,bits=4,group=64}",
    "own grid": "quantize-weights{bits=4,group=32,minimum=true}",
    "row": "quantize-weights{bits=4,group=32,rows=true}",
}
LIMIT = 5.0  # times the source's perplexity, beyond which a row is in the table alone
X_TICKS, Y_TICKS = (0.8, 1, 1.5, 2, 4, 8), (1, 1.05, 1.1, 1.25, 1.5, 2, 3, 5)


@dataclass(frozen=True)
class Encoder:
    """A curve of the plot: encoders of one kind, from dear to cheap. `before` is what happens to weights first;
    `formats` are those it is tried on."""

    name: str
    points: dict[str, str]
    before: str = ""
    formats: tuple[str, ...] = ("fp32", "W4", "own grid")
    dense: bool = False


def signed(code: str, factor: float, price: float, attention: str = "csd:7") -> str:
    """Counts over a mean-based threshold that outliers widen."""
    return (
        f"insert-encoders{{code={code},threshold=mean,factor={factor:g},overflow=widen,price={price:g},"
        f"attention_code={attention}}}"
    )


def budget(encoder: str, additions: float) -> str:
    """The same encoders with thresholds and prices of their own, for so many additions a weight."""
    return f"{encoder},allocate-spikes{{additions={additions:g}}}"


def clipped(options: str) -> str:
    """The sdllm encoder and one way to clip it."""
    return f"insert-encoders{{levels=15}},halve-steps{options and ',clip-membranes{' + options + '}'}"


def silent(share: float) -> str:
    """8-bit counts with the weakest share of activations silenced: TEAL-like sparsity."""
    clip = f",clip-membranes{{form=hard,quantile={share:g}}}" if share else ""
    return f"insert-encoders{{grid=symmetric,levels=127,attention=false}}{clip}"


ROTATED = ("fp32", "W4")
RTN = "quantize-weights{bits=4,group=64}"
ENCODERS = [
    Encoder("none", {"": ""}),
    Encoder("none, rotated", {"": ""}, ROTATE, ROTATED),
    # The published systems' encoders, and quantised networks whose integers are the same counts.
    Encoder("SDLLM, unclipped = rotated A4 (QuaRot-like)", {"": clipped("")}, ROTATE, ROTATED),
    Encoder(
        "SDLLM, clipped",
        {
            **{f"tolerance {t:g}": clipped(f"tolerance={t:g}") for t in (0.0, 0.05, 0.2)},
            **{f"saturate {f:g}": clipped(f"form=saturate,factor={f:g}") for f in (0.9, 0.8, 0.7)},
            **{f"hard {p:g}": clipped(f"form=hard,quantile={p:g}") for p in (0.1, 0.3)},
            **{f"soft {p:g}": clipped(f"form=soft,quantile={p:g}") for p in (0.02, 0.1, 0.3)},
        },
        ROTATE,
        ("W4",),
    ),
    Encoder("A4, not rotated", {"": clipped("")}),
    Encoder("A8, not rotated", {"": silent(0.0)}),
    Encoder("TEAL-like sparsity", {f"{s:g} silent": silent(s) for s in (0.2, 0.35, 0.5)}, formats=ROTATED),
    Encoder(
        "SpikingBrain: mean/3, signed bits",
        {"": signed("signed_bits:10", 1 / 3, 0.0, "signed_bits:4")},
    ),
    Encoder(
        "SpikeMLLM: rotated A4, signed bits in 3 steps",
        {"": "insert-encoders{code=signed_bits:3,attention_code=signed_bits:3}"},
        ROTATE,
        ROTATED,
    ),
    # Ours.
    Encoder("signed digits, mean/3", {f"price {p:g}": signed("csd:12", 1 / 3, p) for p in (0.1, 1.0)}),
    Encoder(
        "digit-ramp, 16 steps",
        {f"price {p:g}": signed("digit_ramp:6:4:10", 0.25, p) for p in (0.1, 0.3, 1.0)},
        formats=("fp32", "W4", "row"),
    ),
    Encoder(
        "digit-ramp, 16 steps, by budget",
        {f"{a:g}": budget(signed("digit_ramp:6:4:10", 0.25, 0.3), a) for a in (0.8, 0.9, 0.98, 1.1)},
        formats=("fp32", "row"),
    ),
    Encoder(
        "digit-ramp, 40 steps, by budget",
        {f"{a:g}": budget(signed("digit_ramp:8:6:32", 0.15, 1.0), a) for a in (0.8, 0.88, 0.98)},
        formats=("fp32", "row"),
    ),
]


def rows(only: Sequence[str]) -> list[Row]:
    """All of them, or those whose name has one of these words in it: curve, point and weight format."""
    found = []
    for encoder in ENCODERS:
        for weights in encoder.formats:
            for point, encoding in encoder.points.items():
                steps = (encoder.before, WEIGHTS[weights], encoding)
                found.append(Row(encoder.name, point, weights, ",".join(s for s in steps if s)))
    # The paper's comparison: 4-bit weights by rounding and by GPTQ under the same 4-bit activations.
    found.append(Row("A4, not rotated", "weights by rounding", "W4", f"{RTN},{clipped('')}"))
    found.append(Row("SDLLM, unclipped = rotated A4 (QuaRot-like)", "weights by rounding", "W4",
                     f"{ROTATE},{RTN},{clipped('')}"))  # fmt: skip
    return [r for r in found if not only or any(word in r.name for word in only)]


def main() -> None:
    args = options(__doc__, "rows whose name has one of these: curve, point, weights").parse_args()
    table = []
    with trials(args) as (tried, source):
        for row in rows(args.only):
            table.append(line(row, tried.outcome(seeded(row.pipeline, args.seed)), source))
            print(text_of(table[-1]), flush=True)
    write(args, source, table)


HEAD = (
    "| encoder | weights | perplexity | × source (95 %) | additions | updates | spikes | non-zero | steps | "
    "mult./output | encoded | bits | attention | head |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def text_of(entry: dict[str, Any]) -> str:
    """A row of the table."""
    cost = entry["cost"]
    name = entry["curve"] + (f", {entry['point']}" if entry["point"] else "")
    low, high = entry["interval"]
    cells = [
        name,
        entry["weights"],
        f"{entry['perplexity']:.3f}",
        f"{entry['ratio']:.3f} ({low:.3f}–{high:.3f})",
    ]
    if cost:
        cells += [f"{cost[k]:.3f}" for k in ("additions", "updates", "spikes", "nonzero")]
        cells += [str(cost["steps"]), f"{cost['multiplies']:.2f}", f"{cost['encodings']:.4f}"]
        cells += [f"{cost[k]:.2f}" for k in ("bits", "attention", "head")]
    else:
        cells += ["—"] * 10
    return "| " + " | ".join(cells) + " |"


def write(args: argparse.Namespace, source: Outcome, table: list[dict[str, Any]]) -> None:
    """Table and plot."""
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "frontier.json").write_text(json.dumps(told(args, source, table), indent=1) + "\n", encoding="utf-8")
    (args.out / "frontier.md").write_text("\n".join([HEAD, *map(text_of, table)]) + "\n", encoding="utf-8")
    plot(table, args.out / "frontier.svg")


def plot(table: list[dict[str, Any]], path: Path) -> None:
    """One panel a weight format, one curve an encoder."""
    shown = [entry for entry in table if entry["cost"] and entry["ratio"] < LIMIT]
    formats = [f for f in WEIGHTS if any(entry["weights"] == f for entry in shown)]
    names = list(dict.fromkeys(entry["curve"] for entry in shown))
    figure, axes = pyplot.subplots(
        1, len(formats), figsize=(5.2 * len(formats), 4.6), sharex=True, sharey=True, squeeze=False
    )
    axes[0][0].set(ylabel="perplexity ÷ source's", xscale="log", yscale="log")
    for axis, weights in zip(axes[0], formats, strict=True):
        for index, name in enumerate(names):
            points = sorted(
                (entry["cost"]["additions"], entry["ratio"])
                for entry in shown
                if entry["curve"] == name and entry["weights"] == weights
            )
            if points:
                axis.plot(*zip(*points, strict=True), "o-", label=name, color=f"C{index % 10}", markersize=4)
        axis.set(title=f"weights: {weights}", xlabel="additions per weight, updates included")
        axis.grid(alpha=0.3, which="both")
        axis.set_xticks(X_TICKS, map(str, X_TICKS), minor=False)
        axis.set_yticks(Y_TICKS, map(str, Y_TICKS), minor=False)
        axis.minorticks_off()
    figure.legend(*_all_labels(axes[0]), loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.16, 1, 1))
    figure.savefig(path)


def _all_labels(axes: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


if __name__ == "__main__":
    main()
