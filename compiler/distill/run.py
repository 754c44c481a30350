"""From settings to a student's folder: read, prepare, train, settle, write."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed

from ..artifact import building, check_free, write_json
from ..errors import InputError
from ..sources import Source, open_source
from ..sources.skeleton import quiet
from ..ui import Quiet
from . import checkpoint, curve
from .settings import Settings
from .spad import SpAD
from .student import fresh
from .teacher import Teacher, TopK
from .text import Corpus, pack, read_texts, train_tokenizer
from .train import Run, held_out, peak_memory

TRAINING = "training.json"


@dataclass(frozen=True)
class Done:
    """A student that was written, and what its training.json says; None in processes that only helped."""

    folder: Path
    facts: Mapping[str, Any] | None


def is_student(folder: Path) -> bool:
    """Whether a folder was written by `distill`."""
    return (folder / TRAINING).is_file()


def workplace(out: Path) -> Path:
    """Where a run keeps its checkpoints until it is done."""
    return out.with_name(out.name + ".training")


def distill(settings: Settings, out: Path, ui: Quiet, *, every: float = 120.0, force: bool = False) -> Done:
    """Train a student and write it to `out`, which appears whole. A run that was stopped goes on from `out`.training.

    `every` is the seconds between checkpoints. Raises InputError for settings, files or a teacher that will not do.
    """
    settings.check()
    check_free(out, force=force, ours=is_student, what="student")
    accelerator = _accelerator(settings)
    set_seed(settings.seed)
    with ui.stage("read"):
        source = None if settings.teacher is None else open_source(settings.teacher)
        texts = read_texts(settings.data)
        tokenizer = train_tokenizer(texts, settings.vocabulary) if source is None else _tokenizer(source)
        corpus = pack(texts, tokenizer, _length(settings, source), settings.held_out)
    folder = workplace(out)
    if accelerator.is_main_process:
        checkpoint.agree(folder, {**settings.as_json(), "text": corpus.sha256})
    accelerator.wait_for_everyone()
    with ui.stage("prepare"):
        teacher = _teacher(settings, source, accelerator.device)
        rows = len(tokenizer) if teacher is None else int(teacher.model.config.vocab_size)
        with quiet():
            student = fresh(settings, tokenizer, rows)
        spad = SpAD(student, settings.terms, settings.temperature, teacher)
        cache = _cache(settings, corpus, teacher, folder, accelerator, ui)
    run = Run(settings, corpus, spad, teacher, cache, folder, every, ui.progress)
    with ui.stage("train"):
        run.go(accelerator)
    if not accelerator.is_main_process:
        return Done(out, None)
    if settings.spikes:
        student.settle()
    facts = _facts(settings, corpus, run, student, source)
    with ui.stage("write"), building(out, force=force, ours=is_student, what="student") as partial:
        _write(partial, student, tokenizer, run, facts)
    shutil.rmtree(folder, ignore_errors=True)
    return Done(out, facts)


def _accelerator(settings: Settings) -> Accelerator:
    """Whatever devices and processes there are, in float32: neurons on a coarser grid would be others."""
    heads = {"sta", "hta"} & settings.terms.keys()
    unused = [] if heads else [DistributedDataParallelKwargs(find_unused_parameters=True)]
    return Accelerator(mixed_precision="no", kwargs_handlers=unused)


def _tokenizer(source: Source) -> Any:
    found = source.tokenizer()
    if found is None:
        raise InputError(f"{source.origin.get('name')}: has no tokenizer to read --data with; give another teacher")
    return found


def _length(settings: Settings, source: Source | None) -> int:
    """The sequence length. Raises InputError if it is more than the teacher takes."""
    most = getattr(source.config, "max_position_embeddings", None) if source is not None else None
    if isinstance(most, int) and settings.length > most:
        raise InputError(f"--length {settings.length}: the teacher's context is {most}")
    return settings.length


def _teacher(settings: Settings, source: Source | None, device: torch.device) -> Teacher | None:
    """The teacher, where a term compares with it."""
    if source is None or not set(settings.terms) - {"hta"}:
        return None
    return Teacher(source, maps="saa" in settings.terms).to(device)


def _cache(
    settings: Settings, corpus: Corpus, teacher: Teacher | None, folder: Path, accelerator: Accelerator, ui: Quiet
) -> TopK | None:
    if not settings.top_k:
        return None
    assert teacher is not None
    cache = TopK(folder / "top-k", corpus.train.shape, settings.top_k)
    if accelerator.is_main_process:
        cache.fill(teacher, corpus.train, settings.temperature, ui.progress)
    accelerator.wait_for_everyone()
    return cache


def _facts(settings: Settings, corpus: Corpus, run: Run, student: Any, source: Source | None) -> dict[str, Any]:
    """What training.json says."""
    loss = held_out(student, corpus.held_out, settings.batch)
    tokens = settings.updates * settings.batch * settings.length
    return {
        "settings": settings.as_json(),
        "text_sha256": corpus.sha256,
        "teacher": None if source is None else dict(source.origin),
        "parameters": sum(p.numel() for p in student.parameters()),
        "tokens": tokens,
        "passes_over_text": round(tokens / corpus.train.size, 2),
        "bytes_per_token": round(corpus.bytes_per_token, 4),
        "held_out_loss": round(loss, 5),
        "held_out_bits_per_byte": round(loss / math.log(2) / corpus.bytes_per_token, 5),
        "seconds": round(run.seconds, 1),
        "tokens_per_second": round(tokens / max(run.seconds, 1e-9)),
        "peak_rss_mb": peak_memory(),
        "device": str(next(student.parameters()).device.type),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("sdllm", "torch", "transformers", "accelerate")},
        "history": run.history,
    }


def _write(folder: Path, student: Any, tokenizer: Any, run: Run, facts: Mapping[str, Any]) -> None:
    with quiet():
        student.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    write_json(folder / TRAINING, facts)
    curve.plot(run.history, f"{run.settings.layers} layers, d {run.settings.hidden}", folder / "loss.svg")
