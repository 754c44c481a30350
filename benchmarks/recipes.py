"""Compiled folders on one table: perplexity, accuracy, additions, ACE and energy by the literature's rule.

    python benchmarks/recipes.py COMPILED… -o FOLDER --source MODEL [--backend c] [--windows N] [--task NAME --items N]

The first folder is what the others' energy and accuracy are set against. Additions, ACE and energy are those that
compiling measured (metrics.json), minutes and memory those of compiling (machine.json). Text and items are read from
the folder that SDLLM_DATA names. Prints Markdown and writes FOLDER/recipes.json; scores are kept there one by one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sdllm.compiler.artifact import MACHINE, METRICS, open_artifact
from sdllm.compiler.evaluation.evaluate import Task, evaluate
from sdllm.compiler.evaluation.subject import Where, open_subject
from sdllm.compiler.evaluation.tasks import task_file
from sdllm.compiler.memory import keep_freed_memory
from sdllm.compiler.ui import reporter

HEAD = (
    "| program | perplexity | × source | accuracy | additions | ACE | steps | joules a token, literature | × energy | "
    "points | compile minutes | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def scores(model: str, backend: str | None, tasks: list[Task], out: Path) -> dict[str, Any]:
    """Perplexity and accuracy, read where they are known."""
    path = out / "scores" / f"{Path(model).name}.{'.'.join(t.label(backend or 'source') for t in tasks)}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    ui = reporter()
    subject = open_subject(Where(model, backend), ui)
    found = {}
    for task in tasks:
        found |= evaluate(subject, task, ui)["metrics"]
    ui.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def costs(folder: Path) -> dict[str, Any]:
    """What compiling measured and took."""
    manifest = open_artifact(folder).manifest
    metrics, machine = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (METRICS, MACHINE))
    linear = metrics["firing"]["linear"]
    passes = [seconds for stage, seconds in machine["seconds"].items() if stage.startswith("pass ")]
    return {
        "name": manifest["recipe"] or ",".join(manifest["pipeline"]),
        "additions": linear["additions_per_weight"],
        "ace": linear["ace"],
        "steps": linear["time_steps"],
        "joules": {e["rule"]: e["joules"] for e in metrics["energy"]},
        "calibration": manifest["calibration"]["origin"],
        "minutes": sum(passes) / 60,
        "peak_mb": machine["peak_rss_mb"],
    }


def text_of(row: dict[str, Any], first: dict[str, Any], source: dict[str, Any]) -> str:
    """A row of the table."""
    joules, base = row["joules"]["literature"], first["joules"]["literature"]
    cells = [
        row["name"], f"{row['perplexity']:.2f}", f"{row['perplexity'] / source['perplexity']:.3f}",
        f"{row['acc']:.3f} ± {row['acc_stderr']:.3f}", f"{row['additions']:.3f}", f"{row['ace']:.1f}",
        str(row["steps"]), f"{joules:.3g}", f"{joules / base:.2f}", f"{100 * (row['acc'] - first['acc']):+.1f}",
        f"{row['minutes']:.1f}", f"{row['peak_mb']:.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="COMPILED", help="compiled folders")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--source", required=True, help="the model they were compiled from")
    parser.add_argument("--backend", default="c", help="backend that runs them (default c)")
    parser.add_argument("--windows", type=int, default=4, help="windows of WikiText-2 test")
    parser.add_argument("--window", type=int, default=512, help="tokens of a window")
    parser.add_argument("--task", default="arc_easy", help="task of choices")
    parser.add_argument("--items", type=int, default=200, help="its first items")
    args = parser.parse_args()
    keep_freed_memory()
    tasks = [
        Task("wikitext2", task_file("wikitext2", None), args.windows, args.window),
        Task(args.task, task_file(args.task, None), args.items),
    ]
    source = scores(args.source, None, tasks, args.out)
    print(f"source: perplexity {source['perplexity']:.3f}, {args.task} {source['acc']:.3f}\n\n{HEAD}", flush=True)
    rows: list[dict[str, Any]] = []
    for folder in args.folders:
        rows.append({**costs(folder), **scores(str(folder), args.backend, tasks, args.out)})
        print(text_of(rows[-1], rows[0], source), flush=True)
    told = {"windows": args.windows, "window": args.window, "task": args.task, "items": args.items}
    told |= {"backend": args.backend, "source": source, "rows": rows}
    (args.out / "recipes.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
