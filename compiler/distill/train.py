"""The training loop: batches, schedule, progress, checkpoints; devices and processes are accelerate's."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.nn import functional as F

from ..errors import InputError
from . import checkpoint, curve
from .settings import Settings
from .spad import SpAD
from .teacher import Lesson, Teacher, TopK
from .text import Corpus

Tensor = torch.Tensor
Progress = Callable[[int, int, str], None]

POINTS = 200  # lines of history in a whole run
MEASURED = 20  # of which so many have a held-out loss
SLOW = 0.1  # share of the learning rate for queries and keys of heads with spans: at the full rate these heads close


@dataclass
class Run:
    """A training run in its folder, which can be stopped at any time and taken up again."""

    settings: Settings
    corpus: Corpus
    model: SpAD
    teacher: Teacher | None
    cache: TopK | None
    folder: Path
    every: float = 120.0
    """Seconds between checkpoints."""
    progress: Progress = lambda done, total, what: None
    history: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0

    def go(self, accelerator: Accelerator) -> None:
        """Train to the end, from the last checkpoint if there is one. Raises InputError if the loss is no number."""
        s = self.settings
        groups = parameters(self.model, slow=s.spikes and bool(s.spans))
        optimizer = torch.optim.Adam(groups, lr=s.rate, betas=(0.9, 0.98))
        model, optimizer = accelerator.prepare(self.model, optimizer)
        sums: dict[str, float] = {}
        if (found := checkpoint.newest(self.folder)) is not None:
            before = checkpoint.read(found, accelerator)
            sums = before["sums"]
            self.step, self.history, self.seconds = before["step"], before["history"], before["seconds"]
        began, since, saved = time.monotonic(), time.monotonic(), self.step
        taken = self.seconds
        try:
            while self.step < s.updates:
                self._update(accelerator, model, optimizer, sums)
                self.seconds = taken + time.monotonic() - began
                if self._is_due(self.step, POINTS):
                    self._note(accelerator, sums)
                if time.monotonic() - since >= self.every:
                    self._save(accelerator, sums)
                    since, saved = time.monotonic(), self.step
        except KeyboardInterrupt:
            if saved < self.step:
                self._save(accelerator, sums)
            raise
        self._save(accelerator, sums)

    def _update(self, accelerator: Accelerator, model: Any, optimizer: Any, sums: dict[str, float]) -> None:
        """One batch: forward, backward, step."""
        s = self.settings
        rows = self.corpus.rows(self.step, s.batch, s.seed)[accelerator.process_index :: accelerator.num_processes]
        ids = torch.from_numpy(self.corpus.train[rows]).to(accelerator.device)
        for group in optimizer.param_groups:
            group["lr"] = s.rate * schedule(self.step / s.updates, s.warmup) * group["share"]
        model.train()
        found = model(ids, self._lesson(rows, ids))
        optimizer.zero_grad()
        accelerator.backward(found["loss"])
        accelerator.clip_grad_norm_(model.parameters(), s.clip)
        optimizer.step()
        self.step += 1
        values = torch.stack([v.detach() for v in found.values()]).tolist()
        if not all(map(math.isfinite, values)):
            raise InputError(f"the loss is no number at update {self.step}; give a smaller --lr")
        for name, value in zip(found, values, strict=True):
            sums[name] = sums.get(name, 0.0) + value
        sums["updates"] = sums.get("updates", 0.0) + 1

    def _lesson(self, rows: Any, ids: Tensor) -> Lesson:
        if self.cache is not None:
            return self.cache.lesson(rows, ids.device)
        inner = bool({"ea", "saa", "sfa"} & self.settings.terms.keys())
        return Lesson() if self.teacher is None else self.teacher.lesson(ids, inner=inner)

    def _is_due(self, step: int, times: int) -> bool:
        """Whether something done so many times in a run is done after this update."""
        total = self.settings.updates
        return step == total or step * times // total != (step - 1) * times // total

    def _note(self, accelerator: Accelerator, sums: dict[str, float]) -> None:
        """A line of history from the sums since the last one; and what a person sees."""
        s = self.settings
        updates = sums.pop("updates")
        tokens = self.step * s.batch * s.length
        line: dict[str, Any] = {"step": self.step, "tokens": tokens, "seconds": round(self.seconds, 1)}
        line |= {name: round(total / updates, 5) for name, total in sums.items()}
        sums.clear()
        line.setdefault("hta", None)
        if self._is_due(self.step, MEASURED):
            line["held_out"] = round(held_out(self.model.student, self.corpus.held_out, s.batch), 5)
        self.history.append(line)
        speed = tokens / max(self.seconds, 1e-9)
        left = (s.updates * s.batch * s.length - tokens) / speed
        text = f"loss {line['loss']:.3f}, {speed:,.0f} tokens/s, {clock(left)} left"
        if accelerator.is_main_process:
            self.progress(self.step, s.updates, text)
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps({**line, "tokens_per_second": round(speed), "seconds_left": round(left)}) + "\n")

    def _save(self, accelerator: Accelerator, sums: dict[str, float]) -> None:
        state = {"step": self.step, "seconds": self.seconds, "history": self.history, "sums": sums}
        checkpoint.write(self.folder, accelerator, state)
        if accelerator.is_main_process:
            curve.plot(self.history, f"{self.folder.stem}", self.folder / "loss.svg")


def parameters(model: Any, *, slow: bool) -> list[dict[str, Any]]:
    """Groups for the optimizer with their `share` of the learning rate; `slow`: queries and keys have a small one."""
    groups: dict[float, list[Tensor]] = {}
    for name, weights in model.named_parameters():
        apart = slow and name.rpartition(".")[0].endswith(("q_proj", "k_proj"))
        groups.setdefault(SLOW if apart else 1.0, []).append(weights)
    return [{"params": weights, "share": share} for share, weights in groups.items()]


def schedule(share: float, warmup: float) -> float:
    """The learning rate at a share of the run, of its highest: up in a line, then down by a cosine to a fiftieth."""
    if share < warmup:
        return (share + 1e-3) / (warmup + 1e-3)
    return max(0.02, 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup))))


@torch.no_grad()
def held_out(student: Any, sequences: Any, batch: int) -> float:
    """Mean -log p of the tokens of sequences i64 [N, L] after their first, in nats."""
    student.eval()
    device = next(student.parameters()).device
    total = count = 0.0
    for row in range(0, len(sequences), batch):
        ids = torch.from_numpy(sequences[row : row + batch]).to(device)
        logits = student(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        total += F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum").item()
        count += ids[:, 1:].numel()
    student.train()
    return total / count


def clock(seconds: float) -> str:
    """`1 h 5 min`, `3 min 20 s` or `42 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def peak_memory() -> float:
    """The most memory this process held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1024), 1)
