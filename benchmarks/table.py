"""Tables from the rounds of `decode.py`: `python benchmarks/table.py FOLDER` writes FOLDER/decode.md anew."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

Row = dict[str, Any]


def rows(told: Row, **wanted: Any) -> list[Row]:
    """The measurements that are so."""
    return [r for r in told["rounds"] if all(r.get(k) == v for k, v in wanted.items())]


def values(told: Row, key: str, **wanted: Any) -> list[float]:
    """One figure of them, round by round."""
    return [r[key] for r in rows(told, **wanted) if key in r]


def middle(found: Sequence[float], form: str = ".1f", *, spread: bool = False) -> str:
    """Median, and least and most."""
    if not found:
        return "—"
    ends = f" ({min(found):{form}}–{max(found):{form}})" if spread and len(found) > 1 else ""
    return f"{median(found):{form}}{ends}"


def number(value: float, form: str) -> str:
    """A dash for what is not known."""
    return "—" if math.isnan(value) else f"{value:{form}}"


def ratios(told: Row, name: str, key: str, over: Row, **wanted: Any) -> list[float]:
    """A figure over another of the same round, which what slows both of them leaves alone."""
    base = {r["round"]: r[key] for r in rows(told, **over) if key in r}
    return [r[key] / base[r["round"]] for r in rows(told, name=name, **wanted) if key in r and base.get(r["round"])]


def names(told: Row) -> list[str]:
    """All that were measured, in order."""
    return list(dict.fromkeys(r["name"] for r in told["rounds"] if "name" in r))


def perplexity(told: Row, name: str) -> float:
    """Of an engine on the text; NaN where it is not known."""
    found = told["losses"].get(name)
    return math.exp(fmean(found)) if found else math.nan


def speed_row(told: Row, name: str, threads: int) -> list[str]:
    """An engine's line of the first table."""
    mine = {"name": name, "threads": threads, "busy": 0}
    about, base = told["about"].get(name, {}), told["base"]
    over = {"name": base, "threads": threads, "busy": 0}
    read = about.get("bytes", math.nan) / 1e6
    decode, stream = values(told, "decode", **mine), values(told, "stream", threads=threads)
    rate = [d * read / 1e3 for d in decode]
    share = f"{median(rate) / median(stream):.0%}" if rate and stream else "—"
    found, source = perplexity(told, name), perplexity(told, told["source"])
    return [
        name,
        str(threads),
        middle(decode, spread=True),
        middle(ratios(told, name, "decode", over, threads=threads, busy=0), ".2f"),
        middle(values(told, "prefill", **mine), ".0f", spread=True),
        middle(ratios(told, name, "prefill", over, threads=threads, busy=0), ".2f"),
        middle(values(told, "load", **mine), ".2f"),
        middle(values(told, "rss", **mine), ".0f"),
        number(about.get("weights", math.nan) / 1e6, ".0f"),
        number(read, ".1f"),
        "—" if math.isnan(read) else f"{middle(rate)} ({share})",
        number(found, ".3f"),
        number(found / source, ".3f"),
    ]


def load_row(told: Row, name: str, threads: int, busy: int) -> list[str]:
    """An engine's line of the table beside busy processes."""
    quiet = {"name": name, "threads": threads, "busy": 0}
    return [
        name,
        str(threads),
        str(busy),
        middle(values(told, "decode", name=name, threads=threads, busy=busy), spread=True),
        middle(ratios(told, name, "decode", quiet, threads=threads, busy=busy), ".2f"),
    ]


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table, or nothing for no lines."""
    if not lines:
        return ""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)) + "\n"


def tables(told: Row) -> str:
    """All tables of a run, and what they were taken on and with."""
    args, machine = told["arguments"], told["machine"]
    done = len({r["round"] for r in told["rounds"]})
    streams = [f"{middle(values(told, 'stream', threads=t))} GB/s by {t}" for t in args["threads"]]
    sizes = [f"{args['prompt']} tokens of prompt, {args['new']} decoded, {args['prefill']} prefilled"]
    sizes += [f"{done} rounds, medians (least–most); memory read at {', '.join(streams)}"]
    speed = ["engine", "threads", "decode tok/s", f"× {told['base']}", "prefill tok/s", "× its", "load s", "RSS MB"]
    speed += ["weights MB", "MB/token", "GB/s (of memory's)", "perplexity", "× source"]
    loaded = [load_row(told, n, t, b) for b in args["busy"] if b for t in args["threads"] for n in names(told)]
    spent = [
        [name, threads, *(f"{v / sum(times.values()):.0%}" for v in times.values())]
        for name, by in told["profile"].items()
        for threads, times in by.items()
    ]
    kinds = next((list(times) for by in told["profile"].values() for times in by.values()), [])
    parts = [
        f"{machine['processor']}, {machine['cores']} cores. {'; '.join(sizes)}.\n",
        markdown(speed, [speed_row(told, n, t) for t in args["threads"] for n in names(told)]),
        markdown(["engine", "threads", "others", "decode tok/s", "× alone"], loaded),
        markdown(["a token's time", "threads", *kinds], spent),
        f"    {' '.join(told['command'])}\n",
    ]
    return "\n".join(p for p in parts if p)


def write(told: Row, out: Path) -> None:
    """The raw log and the tables."""
    (out / "decode.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (out / "decode.md").write_text(tables(told), encoding="utf-8")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write(json.loads((folder / "decode.json").read_text(encoding="utf-8")), folder)
