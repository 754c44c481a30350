"""The story of a module through the passes, and why an op does or does not run on spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..backends.counting import DRIVEN
from ..ir import Op, Program, print_op
from .artifact import Artifact
from .conversion import Verdict, verdict
from .errors import InputError
from .journal import read_journal


@dataclass(frozen=True, slots=True)
class Chapter:
    """What one pass did to a module: lines of ops that went and came, weights rewritten, and what it said."""

    number: int
    ran: str
    gone: Sequence[str]
    came: Sequence[str]
    rewritten: Sequence[str]
    notes: Sequence[str]

    @property
    def idle(self) -> bool:
        """Whether it did nothing here and said nothing."""
        return not (self.gone or self.came or self.rewritten or self.notes)


@dataclass(frozen=True)
class Explanation:
    """A module as it is now, how it became so (None in folders without a journal), and a verdict for each op."""

    module: str
    ops: Sequence[str]
    story: Sequence[Chapter] | None
    verdicts: Sequence[Verdict]

    def as_json(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)


def explain_op(artifact: Artifact, name: str) -> Explanation:
    """By the name of a value, with or without %: its op alone, and its module's story. Raises InputError."""
    wanted = name.removeprefix("%")
    op = artifact.program.producers().get(wanted)
    if op is None:
        raise InputError(f"--op {name}: the program has no value of that name (see `inspect {artifact.folder} --text`)")
    return _explain(artifact, op.loc.module, [op])


def explain_module(artifact: Artifact, path: str) -> Explanation:
    """By a module's path, or an end or part of it that only one module has. Raises InputError."""
    modules = dict.fromkeys([*read_journal(artifact.folder).get("modules", {}), *_modules(artifact.program)])
    module = _one(path, list(modules))
    return _explain(artifact, module, [op for op in artifact.program.ops if op.loc.module == module])


def _modules(program: Program) -> list[str]:
    return list(dict.fromkeys(op.loc.module for op in program.ops))


def _one(path: str, modules: Sequence[str]) -> str:
    if path in modules:
        return path
    for found in ([m for m in modules if m.endswith("." + path)], [m for m in modules if path in m]):
        if len(found) == 1:
            return found[0]
        if found:
            more = ", …" if len(found) > 4 else ""
            raise InputError(
                f"--module {path}: {len(found)} modules have that in their path: {', '.join(found[:4])}{more}"
            )
    raise InputError(f"--module {path}: the program has no such module (it has {', '.join(modules[:4])}, …)")


def _explain(artifact: Artifact, module: str, ops: Sequence[Op]) -> Explanation:
    journal = read_journal(artifact.folder)
    pipeline = [*artifact.manifest.get("earlier", ()), *artifact.manifest["pipeline"]]
    driven = [op.result.name for op in artifact.program.ops if op.name in DRIVEN]
    firing = dict(zip(driven, artifact.metrics.get("layers", []), strict=False))
    return Explanation(
        module,
        [print_op(op) for op in ops],
        _story(journal, module) if journal else None,
        [verdict(artifact.program, op, pipeline, firing.get(op.result.name)) for op in ops],
    )


def _story(journal: Mapping[str, Any], module: str) -> list[Chapter]:
    lines = journal["lines"]
    changes = {index: rest for index, *rest in journal["modules"].get(module, [])}
    found = []
    for index, one in enumerate(journal["passes"]):
        gone, came, rewritten = changes.get(index, ([], [], []))
        notes = [text for where, text in one["notes"] if where == module]
        found.append(
            Chapter(index + 1, one["pass"], [lines[i] for i in gone], [lines[i] for i in came], rewritten, notes)
        )
    return found
