"""What is evaluated: a compiled folder by one of its backends, or a source model as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...backends.interface import Runner
from ...backends.reference import ReferenceRunner
from ...ir import Program
from ..artifact import MANIFEST, is_artifact, open_artifact, sha256
from ..compile import Request, load_model
from ..errors import InputError
from ..ui import Quiet

# The backend of a compiled folder where none is named: what every other is held to, and fast enough for a data set.
REFERENCE = "reference"


@dataclass(frozen=True)
class Subject:
    """A causal model ready to score text.

    `folder` is the compiled folder, None for a source model; `context` the most positions it takes, if it has a
    limit; `identity` says in a result what it was.
    """

    runner: Runner
    tokenizer: Any
    context: int | None
    backend: str
    folder: Path | None
    identity: Mapping[str, Any]
    generation: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """A model as the command line names it."""

    model: str
    backend: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    rope_length: int | None = None


def open_subject(where: Where, ui: Quiet) -> Subject:
    """Open it. Raises InputError: an encoder, a model without a tokenizer, a backend it was not compiled for."""
    return _compiled(where, ui) if is_artifact(Path(where.model)) else _source(where, ui)


def _compiled(where: Where, ui: Quiet) -> Subject:
    folder = Path(where.model)
    artifact = open_artifact(folder)
    with ui.stage("read the model"):
        context = _checked(where, artifact.program, tokenizer := artifact.tokenizer())
        name = where.backend or REFERENCE
        runner = artifact.runner(name)
    manifest = artifact.manifest
    identity = {
        "name": folder.resolve().name,
        "manifest_sha256": sha256(folder / MANIFEST),
        **{key: manifest.get(key) for key in ("source", "recipe", "pipeline", "seed")},
    }
    return Subject(runner, tokenizer, context, name, folder, identity, manifest.get("generation", {}))


def _source(where: Where, ui: Quiet) -> Subject:
    if where.backend not in (None, REFERENCE):
        raise InputError(f"{where.model}: only a compiled folder runs by backend '{where.backend}'; compile it first")
    request = Request(
        where.model,
        Path(),
        revision=where.revision,
        rope_length=where.rope_length,
        trust_remote_code=where.trust_remote_code,
    )
    model = load_model(request, ui)
    context = _checked(where, model.program, model.tokenizer)
    identity = {"name": str(model.source.get("name")), "source": dict(model.source)}
    runner = ReferenceRunner(model.program, model.store)
    return Subject(runner, model.tokenizer, context, "source", None, identity, model.generation)


def _checked(where: Where, program: Program, tokenizer: Any) -> int | None:
    """The context of a model that can be scored. Raises InputError."""
    if "logits" not in program.outputs or not program.meta.get("causal", True):
        raise InputError(f"{where.model}: is an encoder and gives no likelihood of a text; only decoders are evaluated")
    if tokenizer is None:
        raise InputError(f"{where.model}: has no tokenizer to read a task with")
    context = program.meta.get("max_positions")
    return context if isinstance(context, int) and context > 0 else None
