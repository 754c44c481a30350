"""diff tells what differs, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.cli import main
from sdllm.compiler.difference import Side, difference
from sdllm.compiler.difference.names import brief
from sdllm.compiler.journal.story import module_lines
from sdllm.compiler.recipes import parse_pipeline
from sdllm.ir import Op, Program, Tensor, Value
from sdllm.passes import Context, Step, run_pipeline

from ..conftest import SMALL
from ..passes.models import decoder
from ..toys import toy_decoder
from .conftest import Look

Cli = Callable[..., tuple[int, str, str]]
PIPELINE = "fold-norms,fold-scales,rotate,quantize-weights{bits=6,group=8},insert-encoders{levels=31},halve-steps"


def renamed(program: Program) -> Program:
    def value(v: Value) -> Value:
        return v if program.input(v.name) else Value(f"other{v.name}", v.type)

    ops = tuple(
        replace(op, operands=tuple(map(value, op.operands)), results=tuple(map(value, op.results)))
        for op in program.ops
    )
    return replace(program, ops=ops, outputs={name: value(v) for name, v in program.outputs.items()})


def with_op(program: Program, index: int, op: Op) -> Program:
    return replace(program, ops=(*program.ops[:index], op, *program.ops[index + 1 :]))


def test_a_program_does_not_differ_from_itself_under_other_names() -> None:
    program, store = toy_decoder(spiked_attention=True)
    found = difference(Side("a", program, store), Side("b", renamed(program), store))
    assert found.same
    assert (found.groups, found.declarations, found.weights) == ((), (), ())
    assert (found.same_ops, found.same_weights) == (len(program.ops), len(program.weights))


def test_states_that_changed_alike_are_told_together() -> None:
    program, store, _ = decoder(layers=3)
    wide = {name: replace(state, type=Tensor("f32", ("B", 9, "P", 8))) for name, state in program.states.items()}
    found = difference(Side("a", program, store), Side("b", replace(program, states=wide), store))
    assert [what for what, *_ in found.declarations] == ["state layers.{0-2}.kv.k", "state layers.{0-2}.kv.v"]


def test_any_one_attribute_that_changes_is_found() -> None:
    program, _ = toy_decoder()
    tried = 0
    for index, op in enumerate(program.ops):
        if op.name == "nn.rms_norm":
            changed = with_op(program, index, replace(op, attrs={**op.attrs, "eps": 0.5}))
            found = difference(Side("a", program), Side("b", changed))
            assert not found.same
            ((group,),) = (found.groups,)
            assert group.modules == (op.loc.module,)
            assert [c.kind for c in group.changes] == ["changed"]
            assert "eps = 0.5" in str(group.changes[0].after)
            tried += 1
    assert tried == 5


def test_operands_that_change_places_are_found() -> None:
    program, _ = toy_decoder()
    index = next(i for i, op in enumerate(program.ops) if op.name == "nn.add")
    op = program.ops[index]
    swapped = with_op(program, index, replace(op, operands=op.operands[::-1]))
    found = difference(Side("a", program), Side("b", swapped))
    assert not found.same
    assert [[c.kind for c in g.changes] for g in found.groups] == [["rewired"]]


def test_changes_lead_from_one_program_to_the_other() -> None:
    program, store, ids = decoder()
    steps: list[Step] = []
    run_pipeline(program, parse_pipeline(PIPELINE), Context(store, ids), [steps.append])
    for step in steps:
        found = difference(Side("a", step.before), Side("b", step.after))
        before, after = (module_lines(p) for p in (step.before, step.after))
        lines = {module: Counter(before.get(module, [])) for module in {*before, *after}}
        for group in found.groups:
            for module in group.modules:
                lines[module].subtract(c.before for c in group.changes if c.before)
                lines[module].update(c.after for c in group.changes if c.after)
        assert {m: +c for m, c in lines.items() if +c} == {m: Counter(x) for m, x in after.items()}
        assert {w.name for w in found.weights} == {
            n
            for n in {*step.before.weights, *step.after.weights}
            if step.before.weights.get(n) != step.after.weights.get(n)
        }


def test_weights_are_told_by_hash_and_how_far_they_moved(compiled: Path, other: Path) -> None:
    sides = []
    for path in (compiled, other):
        artifact = open_artifact(path)
        sides.append(Side(path.name, artifact.program, artifact.store))
    found = difference(*sides)
    moved = [w for w in found.weights if w.relative is not None]
    assert moved
    for w in moved:
        a, b = (side.store.floats(side.program.weights[w.name]) for side in sides if side.store)
        assert w.relative == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
        assert w.before_sha256 != w.after_sha256


def test_figures_come_first_and_json_holds_all(cli: Cli, compiled: Path, other: Path) -> None:
    code, told, _ = cli("diff", compiled, other)
    assert code == 0
    assert told.index("perplexity") < told.index("@@")
    whole = json.loads(cli("diff", compiled, other, "--json")[1])
    before, after = (open_artifact(p).metrics["likeness"]["perplexity"] for p in (compiled, other))
    figure = next(f for f in whole["metrics"] if f["name"] == "perplexity")
    assert (figure["before"], figure["after"]) == (before, after)
    assert figure["change"] == pytest.approx(after / before - 1)
    assert {c["kind"] for g in whole["ops"] for c in g["changes"]} >= {"gone", "changed"}
    chosen = json.loads(cli("diff", compiled, other, "--json", "--module", "layers.1.mlp")[1])
    assert {m for g in chosen["ops"] for m in g["modules"]} == {
        m for g in whole["ops"] for m in g["modules"] if "layers.1.mlp" in m
    }


def test_from_pass_to_pass(cli: Cli, tiny: Path, tmp_path: Path, look: Look) -> None:
    dump, page = tmp_path / "dump", tmp_path / "d.html"
    pipeline = "fold-norms,quantize-weights{bits=4,group=16},insert-encoders"
    given = ["compile", str(tiny), "-o", str(tmp_path / "o"), "--pipeline", pipeline, "--dump-dir", str(dump), *SMALL]
    assert main([*given, "--no-measure"]) == 0
    found = json.loads(cli("diff", "--between-passes", dump, "--json")[1])
    assert [d["after"] for d in found] == ["01-fold-norms", "02-quantize-weights", "03-insert-encoders"]
    assert not any(d["same"] for d in found)
    assert cli("diff", "--between-passes", dump, "--html", page)[0] == 0
    for width, dark in ((360, True), (1500, False)):
        with look(page, width, dark) as opened:
            assert opened.locator("section").count() == 3
            assert opened.locator(".came").count() > 10
            assert "spike.encode" in opened.locator("#d3 .came").first.inner_text()
            assert "q4" in opened.locator("#d2 .came mark").first.inner_text()
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
            opened.locator("#d3 summary").first.focus()
            opened.keyboard.press("Enter")
            assert not opened.locator("#d3 details").first.evaluate("node => node.open")


@pytest.mark.parametrize("words", [(), ("OUT",), ("OUT", "nothing.spike"), ("--between-passes", "OUT"), ("OUT", "BAD")])
def test_bad_calls(cli: Cli, compiled: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    bad = tmp_path / "bad.spike"
    bad.write_text("no program")
    code, _, said = cli("diff", *({"OUT": str(compiled), "BAD": str(bad)}.get(w, w) for w in words))
    assert code == 2
    assert said.count("\n") == 1


def test_modules_of_many_layers_in_few_words() -> None:
    names = [f"model.layers.{i}.mlp" for i in (0, 1, 2, 5)] + ["", "model.norm", "layers.3.attn"]
    assert brief(names) == ["(program)", "model.norm", "model.layers.{0-2,5}.mlp", "layers.3.attn"]
