"""BiSpikCLM at one size: a teacher, an ordinary decoder and spiking students at equal tokens, and SpAD term by term.

    python benchmarks/bispikclm.py -o FOLDER --train TEXT… --test TEXT [--teacher MODEL] [--tokens N] [--only PATTERN…]

Without --teacher that is an ordinary decoder of the same size, trained on --teacher-tokens.

Every row is trained by `sdllm-compile distill`, compiled by recipe bispikclm (the teacher by dense), and measured as
that program by the reference interpreter on windows of --test. Prints Markdown, with a sample of each row's text. What
is in FOLDER already is not done again, so a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sdllm.backends.reference import ReferenceRunner
from sdllm.compiler.artifact import Artifact, open_artifact
from sdllm.compiler.calibration import tokenize
from sdllm.compiler.cli.numbers import count
from sdllm.compiler.compile import Request, compile_model
from sdllm.compiler.distill import SPAD, Settings, distill
from sdllm.compiler.distill.run import TRAINING
from sdllm.compiler.evaluation.perplexity import windows
from sdllm.compiler.generate import Sampling, generate
from sdllm.compiler.spikes import firing
from sdllm.compiler.ui import Quiet, reporter

ADD, MAC = 0.9, 4.6  # pJ, fp32, 45 nm (Horowitz): the rule's own constants
TEACHER = "teacher"


def rows(spans: str) -> dict[str, dict[str, Any]]:
    """What differs from the command's defaults, by name of the row."""
    ours: dict[str, Any] = {"spans": spans, "block_output": "currents"}
    found: dict[str, dict[str, Any]] = {
        "ordinary decoder": {"spikes": False, "terms": {"hta": 0.3}},
        "T=2, SpAD": ours,
        "T=4, SpAD": {**ours, "steps": 4},
        "T=2, text alone (HTA)": {**ours, "terms": {"hta": 0.3}},
        "T=2, logits alone (STA)": {**ours, "terms": {"sta": 0.3}},
        "T=2, STA and HTA": {**ours, "terms": {t: SPAD[t] for t in ("sta", "hta")}},
        "T=4, STA and HTA": {**ours, "steps": 4, "terms": {t: SPAD[t] for t in ("sta", "hta")}},
    }
    for left_out in SPAD:
        kept = {name: weight for name, weight in SPAD.items() if name != left_out}
        found[f"T=2, SpAD without {left_out.upper()}"] = {**ours, "terms": kept}
    found["T=2, SpAD, blocks add spikes"] = {"spans": spans}
    found["T=2, SpAD, no spans"] = {"block_output": "currents"}
    found["T=2, SpAD, as published: no spans, blocks add spikes"] = {}
    found["T=2, SpAD, llama"] = {**ours, "style": "llama"}
    return found


@dataclass(frozen=True)
class Measured:
    """One row: bits per byte and accuracy on the test windows, spikes, size, and text it was trained on."""

    bits: float
    accuracy: float
    chance: float
    context: float
    rate: float
    per_weight: float
    tokens: int
    parameters: int
    sample: str


def context(runner: ReferenceRunner, scored: NDArray[np.int64]) -> float:
    """How far the last logits move, in their own spread, when all tokens before the last two are shuffled; 0: attention
    tells nothing."""
    random = np.random.default_rng(0)
    other = np.array([[*random.permutation(row[:-2]), *row[-2:]] for row in scored])
    a, b = (runner.run(ids)["logits"][:, -1] for ids in (scored, other))
    return float(np.abs(a - b).mean() / a.std())


def measure(out: Artifact, facts: dict[str, Any], text: Path, length: int, limit: int, prompt: str) -> Measured:
    """The compiled program on windows of a text; the first token of each is not scored."""
    tokenizer = out.tokenizer()
    ids = tokenize(text, tokenizer)
    scored = windows(ids.tolist(), length, limit, str(text))
    runner = ReferenceRunner(out.program, out.store)
    loss = right = total = 0.0
    for row in range(0, len(scored), 16):
        window = scored[row : row + 16]
        logits = torch.from_numpy(runner.run(window[:, :-1])["logits"])
        wanted = torch.from_numpy(window[:, 1:])
        loss -= torch.log_softmax(logits, -1).gather(-1, wanted[..., None]).double().sum().item()
        right += (logits.argmax(-1) == wanted).sum().item()
        total += wanted.numel()
    spikes = firing(out.program, runner.stats().counts)
    moved = context(runner, scored[:16])
    per_token = len(text.read_bytes()) / len(ids)
    written = generate(runner, tokenizer(prompt)["input_ids"], Sampling(48, 0.7, seed=0), (), length)
    return Measured(
        loss / total / math.log(2) / per_token,
        right / total,
        float(np.bincount(scored[:, 1:].ravel()).max() / total),
        moved,
        spikes.firing_rate,
        spikes.additions_per_weight,
        facts.get("tokens", 0),
        facts.get("parameters", 0),
        tokenizer.decode(list(written)),
    )


def read(kept: Path) -> Measured:
    """What was measured before."""
    return Measured(**json.loads(kept.read_text(encoding="utf-8")))


def row(name: str, settings: Settings, args: argparse.Namespace, ui: Quiet) -> Measured:
    """Train, compile and measure, what is not there yet."""
    folder = args.out / re.sub(r"\W+", "-", name.lower()).strip("-")
    kept, student = folder / "measured.json", folder / "student"
    if kept.exists():
        return read(kept)
    if not student.exists():
        distill(settings, student, ui)
    return _measured(str(student), kept, "bispikclm" if settings.spikes else "dense", args, ui)


def _measured(model: str, kept: Path, recipe: str, args: argparse.Namespace, ui: Quiet) -> Measured:
    out = kept.with_name("out")
    compile_model(Request(model, out, recipe=recipe, measure=False, force=True), ui)
    told = Path(model) / TRAINING
    facts = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    found = measure(open_artifact(out), facts, args.test, args.length, args.windows, args.prompt)
    kept.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


def teacher_row(base: Settings, args: argparse.Namespace, ui: Quiet) -> tuple[str, Measured]:
    """The teacher's path and measures: the given one, or an ordinary decoder on more tokens than its students have."""
    if args.teacher is not None:
        kept = args.out / TEACHER / "measured.json"
        if kept.exists():
            return args.teacher, read(kept)
        kept.parent.mkdir(parents=True, exist_ok=True)
        return args.teacher, _measured(args.teacher, kept, "dense", args, ui)
    own = replace(
        base,
        spikes=False,
        terms={"hta": 0.3},
        tokens=count("--teacher-tokens", args.teacher_tokens),
        vocabulary=args.vocabulary,
    )
    return str(args.out / TEACHER / "student"), row(TEACHER, own, args, ui)


def line(parts: Iterable[str]) -> str:
    """One of a Markdown table."""
    return "| " + " | ".join(parts) + " |"


def cells(name: str, m: Measured, teacher: Measured) -> list[str]:
    """One line of the table."""
    spiking = m.per_weight > 0
    above = (m.accuracy - m.chance) / (teacher.accuracy - teacher.chance)
    return [
        name,
        f"{m.bits:.3f}",
        f"{m.accuracy:.1%}",
        f"{m.accuracy / teacher.accuracy:.0%}",
        f"{above:.2f}",
        f"{m.context:.3f}",
        f"{m.rate:.3f}" if spiking else "",
        f"{m.per_weight:.3f}" if spiking else "",
        f"{m.per_weight * ADD / MAC:.1%}" if spiking else "100%",
        f"{m.parameters:,}" if m.parameters else "",
        f"{m.tokens:,}" if m.tokens else "",
    ]


COLUMNS = (
    "row", "bits per byte", "accuracy", "of the teacher's", "(acc − chance) ÷ teacher's", "context", "firing rate",
    "T·R", "energy, T·R·0.9/4.6", "parameters", "tokens",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--teacher", help="another teacher: folder, .gguf file or hub id")
    parser.add_argument("--teacher-tokens", default="4M")
    parser.add_argument("--tokens", default="500k")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--spans", default="1,2,3,all", help="of students' heads, where a row says nothing else")
    parser.add_argument("--score-threshold", type=int, default=1)
    parser.add_argument("--value-threshold", type=int, default=1)
    parser.add_argument("--windows", type=int, default=512, help="windows of --test to score (default 512)")
    parser.add_argument("--prompt", default=" The", help="what samples begin with")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order; of a teacher made here too")
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name one of these patterns finds")
    args = parser.parse_args()
    base = Settings(
        data=tuple(args.train),
        tokens=count("--tokens", args.tokens),
        score_threshold=args.score_threshold,
        value_threshold=args.value_threshold,
        **{name: getattr(args, name) for name in ("layers", "hidden", "heads", "length", "batch", "seed")},
    )
    ui = reporter()
    path, teacher = teacher_row(base, args, ui)
    samples = [(TEACHER, teacher.sample)]
    print(line(COLUMNS), line("---" for _ in COLUMNS), line(cells(TEACHER, teacher, teacher)), sep="\n", flush=True)
    for name, options in rows(args.spans).items():
        if not args.only or any(re.search(word, name) for word in args.only):
            found = row(name, replace(base, teacher=path, **options), args, ui)
            samples.append((name, found.sample))
            print(line(cells(name, found, teacher)), flush=True)
    ui.close()
    print(f"\nchance, always the most frequent token: {teacher.chance:.1%}\n")
    for name, sample in samples:
        print(f"* {name}: `{args.prompt}{sample}`".replace("\n", "⏎"))


if __name__ == "__main__":
    main()
