"""The journal says of passes and modules what a direct calculation gives."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.backends.reference import ReferenceRunner
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.journal import Journal, read_journal, read_raster
from sdllm.compiler.journal.story import module_lines
from sdllm.compiler.journal.trains import by_token, histogram
from sdllm.compiler.recipes import parse_pipeline
from sdllm.compiler.spikes import firing, split
from sdllm.ir import Program, Store
from sdllm.ir.interpreter import Interpreter
from sdllm.passes import Context, Step, run_pipeline

from ..passes.models import decoder

PIPELINE = "fold-norms,fold-scales,rotate,quantize-weights{bits=6,group=8},insert-encoders{levels=31},halve-steps"


def kept(pipeline: str, **choices: bool) -> tuple[Journal, Program, Store, list[Step], np.ndarray]:
    program, store, ids = decoder()
    passes = parse_pipeline(pipeline)
    journal = Journal(passes, store, ids, **choices)
    steps: list[Step] = []
    after = run_pipeline(program, passes, Context(store, ids), [journal, steps.append])
    return journal, after, store, steps, ids


def test_exact_passes_leave_no_gap_though_they_turn_the_basis() -> None:
    found = kept("fold-norms,fold-scales,rotate")[0].contents()
    assert [p["exact"] for p in found["passes"]] == [True] * 3
    assert len(found["gap"]) > 10
    assert max(g["error"] for g in found["gap"]) < 1e-4
    assert all(abs(p["kl"]) < 1e-5 for p in found["passes"])


def test_the_gap_is_smaller_with_more_bits_and_measured_in_the_turned_basis() -> None:
    errors = []
    for bits in (3, 5, 7):
        gap = kept(f"fold-norms,fold-scales,rotate,quantize-weights{{bits={bits},group=8}}")[0].contents()["gap"]
        errors.append(np.mean([g["error"] for g in gap]))
        assert all(g["input_error"] is not None for g in gap)
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_a_module_s_error_is_that_of_its_output() -> None:
    """One quantised program against its source, op by op, without the journal's own way of looking."""
    program, store, ids = decoder()
    journal = Journal(parse_pipeline("quantize-weights{bits=4,group=8}"), store, ids)
    after = run_pipeline(program, journal.passes, Context(store, ids), [journal])
    seen: list[dict[str, torch.Tensor]] = []
    for one in (program, after):
        outputs: dict[str, torch.Tensor] = {}

        def watch(op, operands, results, outputs=outputs):  # type: ignore[no-untyped-def]
            if op.name == "nn.linear":
                outputs[op.loc.module] = results[0][0].double()

        Interpreter(one, store).run({"ids": torch.from_numpy(ids[:1, :64])}, watch=watch)
        seen.append(outputs)
    gap = {g["module"]: g["error"] for g in journal.contents()["gap"] if g["what"] == "output"}
    assert set(gap) == set(seen[0])
    for module, error in gap.items():
        a, b = (side[module][-32:] for side in (seen[1], seen[0]))
        assert error == pytest.approx(float(((a - b).norm(dim=1) / b.norm(dim=1)).mean()), rel=1e-3)


def test_additions_after_each_pass_are_those_of_a_run() -> None:
    journal, after, store, _, ids = kept(PIPELINE)
    contents = journal.contents()
    runner = ReferenceRunner(after, store)
    runner.run(ids[:1, :64])
    linears, attention = split(after, runner.stats())
    last = contents["passes"][-1]
    assert last["linear_additions_per_weight"] == pytest.approx(firing(after, linears).additions_per_weight, rel=1e-4)
    wanted = firing(after, attention).additions_per_weight
    assert last["attention_additions_per_weight"] == pytest.approx(wanted, rel=1e-4)
    assert last["linear_additions_per_weight"] < contents["passes"][-2]["linear_additions_per_weight"]


def test_lines_that_went_and_came_lead_from_each_program_to_the_next() -> None:
    journal, _, _, steps, _ = kept(PIPELINE, measure=False)
    contents = journal.contents()
    assert "gap" not in contents
    assert [p["pass"] for p in contents["passes"]] == [str(s.ran) for s in steps]
    for step in steps:
        before, after = (module_lines(p) for p in (step.before, step.after))
        for module in {*before, *after}:
            lines = Counter(before.get(module, []))
            for index, gone, came, _ in contents["modules"].get(module, []):
                if index == step.index:
                    lines.subtract(contents["lines"][i] for i in gone)
                    lines.update(contents["lines"][i] for i in came)
            assert +lines == Counter(after.get(module, []))
            assert min(lines.values(), default=0) >= 0


def test_raster_and_histograms_are_the_encoders_counts() -> None:
    journal, after, store, _, ids = kept(PIPELINE)
    seen: dict[str, np.ndarray] = {}

    def watch(op, operands, results):  # type: ignore[no-untyped-def]
        if op.name == "spike.encode":
            seen[op.result.name] = by_token(results[0].numpy())

    Interpreter(after, store).run({"ids": torch.from_numpy(ids[:1, :64])}, watch=watch)
    raster = journal.raster()
    assert {e["op"] for e in raster["encoders"]} == set(seen)
    for encoder in raster["encoders"]:
        counts = np.frombuffer(base64.b64decode(encoder["counts"]), "<i2").reshape(encoder["shape"])
        assert (counts == seen[encoder["op"]][: len(counts), encoder["channels"]]).all()
    for one in journal.contents()["histograms"]:
        assert sum(one["times"]) == seen[one["op"]].size
        values, times = np.unique(seen[one["op"]], return_counts=True)
        told = {one["low"] + i: t for i, t in enumerate(one["times"]) if t}
        assert told == dict(zip(values.tolist(), times.tolist(), strict=True))


def test_counts_beyond_the_limit_are_at_the_ends() -> None:
    found = histogram(np.array([[-900, -64, 0, 63, 64, 500]]))
    assert (found["low"], found["smallest"], found["largest"]) == (-64, -900, 500)
    assert (found["times"][0], found["times"][-1], sum(found["times"])) == (2, 2, 6)


def test_a_compiled_folder_has_one(compiled: Path) -> None:
    journal, manifest = read_journal(compiled), open_artifact(compiled).manifest
    assert [p["pass"] for p in journal["passes"]] == manifest["pipeline"]
    assert {"journal.json", "raster.json"} <= set(manifest["files"])
    assert read_raster(compiled)["encoders"]
    assert json.loads((compiled / "machine.json").read_text())["seconds"]["journal"] > 0
