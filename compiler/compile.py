"""The way from a model to an artifact: capture, calibrate, rewrite, emit, measure."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..backends.container import write_program
from ..backends.interface import Measuring
from ..ir import FORMAT as IR_FORMAT
from ..ir import Program, Store
from ..passes import Context, Listener, Note, Pass, Step, run_pipeline, select
from .artifact import (
    FORMAT,
    MACHINE,
    MANIFEST,
    METRICS,
    building,
    is_artifact,
    open_artifact,
    signed_files,
    write_compact,
    write_json,
)
from .calibration import Calibration, from_file, self_written
from .errors import InputError
from .generate import TEXT, text_facts
from .journal import JOURNAL, RASTER, Journal
from .measure import measure
from .memory import peak_mb
from .numerics import NumericsCheck
from .recipes import parse_pipeline, recipe
from .targets import Target, targets
from .ui import Quiet


@dataclass(frozen=True)
class Request:
    """What to compile and how; the defaults are those of the command line."""

    model: str
    out: Path
    recipe: str = "sdllm"
    pipeline: str | None = None
    backends: Sequence[str] = ("simulator",)
    """Names, each with options if it has any: `c{kernels=add}`."""
    calibration: Path | None = None
    sequences: int = 32
    length: int = 128
    held_out: int = 8
    seed: int = 0
    keep: Path | None = None
    revision: str | None = None
    rope_length: int | None = None
    trust_remote_code: bool = False
    start_from: str | None = None
    stop_after: str | None = None
    check_numerics: float | None = None
    measure: bool = True
    force: bool = False
    listeners: Sequence[Listener] = field(default=())

    def passes(self) -> list[Pass]:
        """The passes that will run. Raises NotFound or PassError."""
        text = self.pipeline if self.pipeline is not None else recipe(self.recipe).pipeline
        return select(parse_pipeline(text), self.start_from, self.stop_after)


@dataclass(frozen=True)
class Model:
    """What a request's model is, whatever it came from: a program in floats, its weights, its words."""

    program: Program
    store: Store
    tokenizer: Any | None
    generation: Mapping[str, Any]
    source: Mapping[str, Any]
    unused: Sequence[str] = ()
    earlier: Sequence[str] = ()
    """Passes that had run already, where a compiled folder is gone on from."""


def load_model(request: Request, ui: Quiet) -> Model:
    """Capture a Hugging Face model, or take up an artifact where it stands. Raises InputError."""
    folder = Path(request.model)
    if is_artifact(folder):
        found = open_artifact(folder)
        generation, source = found.manifest.get("generation", {}), found.manifest.get("source", {})
        earlier = (*found.manifest.get("earlier", ()), *found.manifest.get("pipeline", ()))
        return Model(found.program, found.store, found.tokenizer(), generation, source, earlier=earlier)
    with ui.stage("read the model"):
        from .sources import open_source

        source_model = open_source(
            request.model, trust_remote_code=request.trust_remote_code, revision=request.revision
        )
        tokenizer = source_model.tokenizer()
        provenance = source_model.provenance
    with ui.stage("capture"):
        from .frontend import capture, lower

        store = Store()
        program = lower(capture(source_model, rope_length=request.rope_length), store)
    return Model(program, store, tokenizer, source_model.generation, provenance, source_model.unused)


@dataclass(frozen=True)
class Prepared:
    """What every pipeline of one model starts from. `memo` is what passes measured (see Context.memo)."""

    model: Model
    calibration: Calibration
    memo: dict[str, Any] = field(default_factory=dict)


def prepare(request: Request, ui: Quiet) -> Prepared:
    """Load the model and have its calibration text. Raises InputError."""
    model = load_model(request, ui)
    length = min(request.length, model.program.meta.get("max_positions") or request.length)
    with ui.stage("calibration text"):
        return Prepared(model, _calibration(replace(request, length=length), model, ui))


def compile_model(request: Request, ui: Quiet | None = None, prepared: Prepared | None = None) -> Path:
    """Compile a model into a folder, which appears whole or not at all; gives the folder. `prepared`, where there is
    one, is the request's model and calibration text.

    Raises InputError for what is wrong with the input, PassError for what a pass cannot do, NotFound for a name that
    nobody provides, IRError for a wrong option of a backend.
    """
    ui = ui if ui is not None else Quiet()
    passes = request.passes()
    chosen = targets(request.backends)
    measured = {k: v for t in chosen if isinstance(t.backend, Measuring) for k, v in t.backend.measured().items()}
    with building(request.out, force=request.force) as folder:
        prepared = prepared or prepare(request, ui)
        model, calibration = prepared.model, prepared.calibration
        context = Context(
            model.store,
            calibration.tokens,
            request.seed,
            progress=ui.progress,
            memo=prepared.memo,
            keep=request.keep,
        )
        _note_origin(request, model, context)
        journal = Journal(passes, model.store, calibration.held_out, measure=request.measure)
        program = _rewrite(request, model, passes, context, calibration, journal, ui)
        for target in chosen:
            reasons = target.backend.supports(program)
            if reasons:
                raise InputError(
                    f"backend {target.name} cannot take this program: {reasons[0]} ({len(reasons)} reasons)"
                )
        found: dict[str, Any] | None = None
        if request.measure:
            with ui.stage("measure"):
                found = measure(model.program, program, model.store, calibration.held_out, ui.progress)
        program = _with_firing(program, found.pop("rates") if found else {})
        with ui.stage("write"):
            write_program(folder, program, model.store)
            if model.tokenizer is not None:
                model.tokenizer.save_pretrained(str(folder))
                write_json(folder / TEXT, text_facts(model.generation, model.tokenizer))
            emitted = {t.name: _emit(t, program, model.store, folder) for t in chosen}
        if found is not None:
            write_json(folder / METRICS, {**found, "text": calibration.origin})
        write_compact(folder / JOURNAL, journal.contents())
        if raster := journal.raster():
            write_compact(folder / RASTER, raster)
        write_json(folder / MANIFEST, _manifest(request, model, passes, calibration, emitted, context.notes, folder))
        write_json(folder / MACHINE, _machine(ui, measured))
    return request.out


def _emit(target: Target, program: Program, store: Store, folder: Path) -> dict[str, Any]:
    """Emit for one backend; gives what the manifest says of it."""
    made = target.backend.emit(program, store, folder / target.name, target.options)
    return {"options": dict(target.options), **made} if target.options else made


def _with_firing(program: Program, rates: Mapping[str, float]) -> Program:
    """The program with the measured shares of non-zero counts as its meta `firing`, by which backends choose kernels;
    without any it had before, of other encoders maybe."""
    meta = {key: value for key, value in program.meta.items() if key != "firing"}
    return replace(program, meta={**meta, "firing": rates} if rates else meta)


def _note_origin(request: Request, model: Model, context: Context) -> None:
    """What a user should know of the model before any pass ran."""
    if model.unused:
        context.note(
            "", f"{len(model.unused)} tensors of the checkpoint have no place in the model: {model.unused[0]} …"
        )
    if fixed := model.program.meta.get("rope_length"):
        context.note("", f"rotary positions, which change with length here, are fixed as for {fixed} tokens")
    if model.earlier:
        done = f"{Path(request.model).name}, after {', '.join(model.earlier)}"
        context.note("", f"goes on from {done}; 'source' below means that program")


def _calibration(request: Request, model: Model, ui: Quiet) -> Calibration:
    if request.calibration is not None:
        return from_file(request.calibration, model.tokenizer, request.sequences, request.length, request.held_out)
    return self_written(
        model.program,
        model.store,
        seed=request.seed,
        sequences=request.sequences,
        length=request.length,
        held_out=request.held_out,
        generation=model.generation,
        progress=ui.progress,
    )


def _rewrite(
    request: Request,
    model: Model,
    passes: list[Pass],
    context: Context,
    calibration: Calibration,
    journal: Journal,
    ui: Quiet,
) -> Program:
    listeners: list[Listener] = [*request.listeners, lambda step: _keep(journal, step, ui)]
    if request.check_numerics is not None:
        check = NumericsCheck(model.program, model.store, calibration.held_out[:1], max_kl=request.check_numerics)
        listeners.append(check)
    listeners.append(lambda step: ui.seconds.update({f"pass {step.index + 1} {step.ran.name}": round(step.seconds, 2)}))
    with ui.stage("rewrite"):
        return run_pipeline(model.program, passes, context, listeners)


def _keep(journal: Journal, step: Step, ui: Quiet) -> None:
    began = time.perf_counter()
    journal(step)
    ui.seconds["journal"] = round(ui.seconds.get("journal", 0.0) + time.perf_counter() - began, 2)


def _manifest(
    request: Request,
    model: Model,
    passes: list[Pass],
    calibration: Calibration,
    emitted: Mapping[str, Any],
    notes: Sequence[Note],
    folder: Path,
) -> dict[str, Any]:
    packages = ("sdllm", "torch", "transformers", "numpy", "safetensors")
    return {
        "format": FORMAT,
        "ir_format": IR_FORMAT,
        "source": dict(model.source),
        "generation": dict(model.generation),
        "recipe": request.recipe if request.pipeline is None else None,
        "earlier": list(model.earlier),
        "pipeline": [str(p) for p in passes],
        "notes": [note.text for note in notes if not note.module],
        "seed": request.seed,
        "calibration": {
            "origin": calibration.origin,
            "sha256": calibration.sha256,
            "shape": list(calibration.tokens.shape),
        },
        "backends": dict(emitted),
        "tokenizer": model.tokenizer is not None,
        "versions": {name: version(name) for name in packages},
        "files": signed_files(folder),
    }


def _machine(ui: Quiet, measured: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seconds": ui.seconds,
        "peak_rss_mb": round(peak_mb(), 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
        **measured,
    }
