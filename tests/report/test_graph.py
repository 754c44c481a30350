"""The diagram holds every op once, ranks follow what flows, and the figures are those of a direct calculation."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sdllm.compiler.artifact import open_artifact
from sdllm.compiler.coverage import args_of
from sdllm.compiler.graph import Block, analyse, tree
from sdllm.compiler.graph.analysis import dataflow, size_in_bytes
from sdllm.compiler.graph.data import graph_data
from sdllm.compiler.graph.dot import dot
from sdllm.compiler.graph.svg import svg
from sdllm.compiler.report.blocks import Widget
from sdllm.compiler.report.page import render
from sdllm.ir import OPS, Loc, Program

from ..toys import toy_decoder
from .conftest import Look

Cli = Callable[..., tuple[int, str, str]]
DIMS = {"B": 1, "S": 128, "P": 0}


def all_blocks(block: Block) -> Iterator[Block]:
    yield block
    for child in block.children:
        if isinstance(child, Block):
            yield from all_blocks(child)


def programs() -> list[Program]:
    return [toy_decoder(layers, spiked_attention=spiked)[0] for layers in (1, 3) for spiked in (False, True)]


@pytest.mark.parametrize("program", programs())
def test_every_op_has_one_place_and_stands_below_what_it_reads(program: Program) -> None:
    root = tree(program)
    assert sorted(root.ops()) == list(range(len(program.ops)))
    place = {op: block for block in all_blocks(root) for op in block.children if isinstance(op, int)}
    assert all(program.ops[i].loc.module == block.path for i, block in place.items())
    lifted = set()
    for block in all_blocks(root):
        inside = {i: p for p, c in enumerate(block.children) for i in (c.ops() if isinstance(c, Block) else [c])}
        wanted = {(inside[a], inside[b]) for a, b in dataflow(program).edges if a in inside and b in inside}
        assert set(block.edges) == {(a, b) for a, b in wanted if a != b}
        assert all(block.ranks[a] != block.ranks[b] for a, b in block.edges)
        assert block.ranks == sorted(block.ranks)
        lifted.update(wanted)
    assert lifted


def test_nothing_stands_above_what_it_reads_where_no_module_is_called_twice(compiled: Path) -> None:
    for block in all_blocks(tree(open_artifact(compiled).program)):
        assert all(block.ranks[a] < block.ranks[b] for a, b in block.edges)


def test_the_critical_path_is_the_heaviest() -> None:
    program, _ = toy_decoder(2, spiked_attention=True)
    found = analyse(program)
    graph = dataflow(program)
    assert all(graph.has_edge(a, b) for a, b in zip(found.critical, found.critical[1:], strict=False))
    best: dict[int, int] = {}
    for i, op in enumerate(program.ops):
        cost = OPS[op.name].cost(args_of(program, op), tuple(r.type for r in op.results), DIMS)
        best[i] = cost.macs + cost.elementwise + max((best[a] for a in graph.predecessors(i)), default=0)
    assert found.chain == max(best.values())


def test_memory_is_what_later_ops_still_read() -> None:
    program, _ = toy_decoder(2)
    outputs = {v.name for v in program.outputs.values()}
    for i, alive in enumerate(analyse(program).memory):
        defined = [*program.inputs, *(r for op in program.ops[: i + 1] for r in op.results)]
        read = {o.name for op in program.ops[i:] for o in op.operands} | outputs
        read |= {r.name for r in program.ops[i].results}
        assert alive == sum(size_in_bytes(v.type, DIMS) for v in defined if v.name in read)


def test_dot_and_svg_draw_every_op_at_full_depth() -> None:
    program, _ = toy_decoder(2, spiked_attention=True)
    text = dot(program, 99)
    assert text.count("[label=") == len(program.ops)
    assert text.count(" -> ") == dataflow(program).number_of_edges()
    assert text.count("{") == text.count("}")
    drawing = ET.fromstring(svg(program, 99))
    boxes = [r.get("class") for r in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(boxes) == len(program.ops) + sum(1 for _ in all_blocks(tree(program)))
    assert "(" in svg(program, 1)
    assert len(svg(program, 1)) < len(svg(program, 99))


def test_a_module_called_twice_is_one_block() -> None:
    program, _ = toy_decoder(1)
    shared = replace(
        program,
        ops=tuple(replace(o, loc=Loc("norm")) if o.name == "nn.rms_norm" else o for o in program.ops),
    )
    root = tree(shared)
    assert sum(isinstance(c, Block) and c.path == "norm" for c in root.children) == 1
    ET.fromstring(svg(shared, 9))


@pytest.mark.parametrize("kind", ["svg", "dot", "html"])
def test_inspect_draws(cli: Cli, compiled: Path, tmp_path: Path, kind: str) -> None:
    code, told, _ = cli("inspect", compiled, "--graph", kind)
    assert code == 0
    out = tmp_path / f"g.{kind}"
    assert cli("inspect", compiled, "--graph", kind, "-o", out)[0] == 0
    assert out.read_text(encoding="utf-8") == told
    assert cli("inspect", compiled, "--graph", kind, "--depth", 0)[0] == 2
    assert cli("inspect", compiled, "--graph", kind, "-o", tmp_path)[0] == 2


def test_a_click_shows_an_op_and_the_keyboard_walks(cli: Cli, compiled: Path, tmp_path: Path, look: Look) -> None:
    page = tmp_path / "g.html"
    assert cli("inspect", compiled, "--graph", "html", "-o", page)[0] == 0
    program = open_artifact(compiled).program
    for width in (380, 1400):
        with look(page, width, dark=width < 400) as opened:
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
            search, panel = opened.locator("input[type=search]"), opened.locator(".panel")
            search.fill("layers.1.mlp.up_proj")
            hits = opened.locator(".hits button")
            wanted = [op for op in program.ops if op.loc.module.endswith("layers.1.mlp.up_proj")]
            assert hits.count() == len(wanted)
            hits.first.click()
            told = panel.inner_text()
            assert f"%{wanted[0].result.name} = {wanted[0].name}" in told
            assert str(wanted[0].result.type) in told
            assert wanted[0].loc.sources[0] in told
            assert "spikes per activation" in told
            assert "standard deviation" in told
            focused = "document.activeElement.textContent"
            assert wanted[0].name in opened.evaluate(focused)
            opened.keyboard.press("ArrowLeft")
            assert opened.evaluate(focused).startswith("up_proj")
            opened.keyboard.press("ArrowLeft")
            assert opened.evaluate("document.activeElement.ariaExpanded") == "false"
            opened.keyboard.press("ArrowRight")
            opened.keyboard.press("ArrowDown")
            opened.keyboard.press("Enter")
            assert f"%{wanted[0].result.name} = {wanted[0].name}" in panel.inner_text()
            search.fill("no such op")
            assert "nothing found" in opened.locator(".hits").inner_text()


def by_layers(program: Program) -> Program:
    """The toy with its nameless ops where a captured model has them: in the layer that they are of."""
    ops, layer = [], ""
    for op in program.ops:
        layer = ".".join(op.loc.module.split(".")[:2]) if op.loc.module.startswith("layers.") else layer
        ops.append(op if op.loc.module else replace(op, loc=Loc(layer)))
    return replace(program, ops=tuple(ops))


def test_eighty_layers_stay_quick(tmp_path: Path, look: Look) -> None:
    program, store = toy_decoder(80, spiked_attention=True)
    program = by_layers(program)
    data = graph_data(program, store, [], analyse(program))
    page = tmp_path / "g.html"
    page.write_text(render("graph.html", title="80 layers", blocks=[Widget("graph", "80 layers", data)]))
    assert len(json.dumps(data)) < 3e6
    with look(page) as opened:
        made = "document.querySelectorAll('.graph button').length"
        assert opened.evaluate(made) < 200  # what is closed is not there yet
        opened.locator("input[type=search]").fill("layers.79.mlp.down")
        opened.locator(".hits button").first.click()
        assert "layers.79.mlp.down" in opened.locator(".panel").inner_text()
        assert opened.evaluate(made) < 300
