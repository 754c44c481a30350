"""Checks of an artifact on disk: files against the manifest, types, and the two domains against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..ir import IRError, Op, verify
from ..ir.interpreter import KERNELS, Call, Interpreter
from .artifact import Artifact, signed_files
from .calibration import vocabulary


@dataclass(frozen=True, slots=True)
class Check:
    """One check's outcome."""

    name: str
    passed: bool
    detail: str


def verify_artifact(artifact: Artifact, tokens: int) -> list[Check]:
    """Files, program, time domain; later checks are left out when an earlier one fails."""
    checks = [_files(artifact)]
    if not checks[-1].passed:
        return checks
    try:
        program = verify(artifact.program)
    except IRError as error:
        return [*checks, Check("program", False, str(error))]
    checks.append(Check("program", True, f"{len(program.ops)} ops are well-typed"))
    return [*checks, _domains(artifact, tokens), *(_backend(artifact, name, tokens) for name in artifact.backends)]


def _files(artifact: Artifact) -> Check:
    listed, found = artifact.manifest["files"], signed_files(artifact.folder)
    wrong = sorted(n for n in {*listed, *found} if listed.get(n) != found.get(n) and not n.startswith("."))
    return Check("files", not wrong, f"{wrong[0]} differs from the manifest" if wrong else f"{len(listed)} as listed")


def _ids(artifact: Artifact, tokens: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, vocabulary(artifact.program), (1, tokens)))


def _domains(artifact: Artifact, tokens: int) -> Check:
    """Every spiked product once more in the time domain, on the counts of a count-domain run: integers must agree."""
    program = artifact.program
    interpreter = Interpreter(program, artifact.store)
    wrong: list[str] = []
    products = 0

    def watch(op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        nonlocal products
        if op.name not in ("spike.linear", "spike.matmul"):
            return
        products += 1
        call = Call(op, operands, tuple(map(interpreter.weight, op.weights)), {}, True)
        in_time = KERNELS[op.name](call)[0]
        exact = not results[0].is_floating_point()
        if not (
            torch.equal(in_time, results[0]) if exact else torch.allclose(in_time, results[0], rtol=1e-4, atol=1e-4)
        ):
            wrong.append(f"{op.loc.module}: {op.name} {op.result}")

    interpreter.run({"ids": _ids(artifact, tokens)}, watch=watch)
    detail = (
        wrong[0] if wrong else f"{products} spiked products of {tokens} tokens, unrolled in time, equal their counts"
    )
    return Check("time domain", not wrong, detail)


def _backend(artifact: Artifact, name: str, tokens: int) -> Check:
    """The backend's logits beside the reference's; counts near a rounding tie may differ, so this compares closely."""
    ids = _ids(artifact, tokens).numpy()
    reference = artifact.runner("reference").run(ids)
    found = artifact.runner(name).run(ids)
    worst = max(float(np.linalg.norm(found[k] - reference[k]) / np.linalg.norm(reference[k])) for k in reference)
    return Check(f"backend {name}", worst < 0.1, f"outputs within {worst:.1e} (relative) of the reference")
