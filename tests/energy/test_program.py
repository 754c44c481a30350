"""Of a compiled model: measured spikes, priced three ways."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdllm.backends.counting import DRIVEN
from sdllm.backends.reference import ReferenceRunner
from sdllm.compiler.energy.dense import spiking_model
from sdllm.compiler.energy.from_program import work_of_program
from sdllm.compiler.energy.part import joules
from sdllm.compiler.energy.traffic import Memory
from sdllm.compiler.energy.work import Work
from sdllm.compiler.spikes import layers
from sdllm.ir import CSD, Builder, Code, FixedWeight, Ramp, Store, Tensor, Ternary, Train

from ..toys import VOCABULARY, toy_decoder

Cli = Callable[..., tuple[int, str, str]]


def toy_work(length: int, tokens: int, code: Code | None = None, **choices: Any) -> tuple[Work, list[dict[str, Any]]]:
    """The work of a toy decoder for `tokens` tokens, measured on `length`; and the measured lines."""
    program, store = toy_decoder(1, spiked_attention=True, code=code or Ternary(7), **choices)
    runner = ReferenceRunner(program, store)
    runner.run(np.random.default_rng(0).integers(0, VOCABULARY, (1, length)))
    lines = layers(program, runner.stats())
    return work_of_program(program, lines, runner.stats().tokens, tokens, "toy"), lines


@pytest.mark.parametrize("code", [Ternary(7), CSD(4), Ramp(4, 2)], ids=str)
def test_at_the_measured_length_counts_are_the_measured_ones(code: Code) -> None:
    work, lines = toy_work(6, 6, code)
    for product, line in zip(work.products, lines, strict=True):
        assert product.macs == line["macs"]
        assert product.additions == pytest.approx(line["additions"])
        assert product.updates == pytest.approx(line["updates"])


def test_membrane_updates_grow_with_tokens_but_scores_with_their_square() -> None:
    short, _ = toy_work(6, 6, Ramp(4, 2))
    long, _ = toy_work(6, 12, Ramp(4, 2))
    for a, b in zip(short.products, long.products, strict=True):
        assert b.macs == a.macs * (4 if a.attention else 2)
        assert b.updates == pytest.approx(2 * a.updates) or a.attention
        assert b.additions * a.macs == pytest.approx(a.additions * b.macs)


def test_parts_add_up_and_updates_are_priced() -> None:
    work, _ = toy_work(6, 6, Ramp(4, 2))
    _, counted, moved = spiking_model(work, Memory()).bills
    names = {p.name for p in counted}
    assert {"linear layers' spikes", "attention's spikes", "membrane updates", "read-out", "encoders"} <= names
    assert joules(moved) > joules(counted)


def test_by_hand() -> None:
    """Column b's spikes and column c's weights of one layer, from the counts themselves."""
    work, lines = toy_work(6, 6)
    linear = sum(m["additions"] for m in lines if m["op"] == "spike.linear")
    bill = spiking_model(work, Memory("dram", "register")).bills[2]
    parts = {name: sum(p.joules for p in bill if p.name == name) for name in {p.name for p in bill}}
    assert parts["linear layers' spikes"] == pytest.approx(linear * 0.1e-12)
    assert parts["weights"] == pytest.approx(linear * 4 / 32 * 640e-12)
    assert parts["membranes"] == 0


def test_rotations_and_float_leftovers_are_counted(cli: Cli, compiled: Path, tiny: Path, tmp_path: Path) -> None:
    assert "online rotations, additions" in parts_of(cli, compiled)["integers"]
    dense = tmp_path / "dense"
    assert cli("compile", tiny, "-o", dense, "--recipe", "dense", "--sequences", "2", "--length", "8")[0] == 0
    found = json.loads(cli("energy", dense, "--json")[1])
    fp32, ours = found["models"][0]["joules"], found["models"][-1]["joules"]
    assert ours["literature"] == ours["integers"] == pytest.approx(fp32["integers"])
    assert found["spikes"]["value"] == 0


def parts_of(cli: Cli, out: Path) -> dict[str, set[str]]:
    found = json.loads(cli("energy", out, "--json")[1])
    return {rule: {p["name"] for p in parts} for rule, parts in found["parts"].items()}


def test_command_on_a_compiled_model(cli: Cli, compiled: Path) -> None:
    found = json.loads(cli("energy", compiled, "--json")[1])
    ours = found["models"][-1]["joules"]
    assert 0 < ours["integers"] < ours["with memory"]
    assert found["spikes"]["from"] == "measured"
    for rule, parts in found["parts"].items():
        assert sum(p["joules"] for p in parts) == pytest.approx(ours[rule])
    kinds = {u["kind"]: u["share"] for u in found["not_counted"]}
    assert {"head", "norms", "softmax", "activation functions"} <= set(kinds)
    assert all(0 < share < 1 for share in kinds.values())
    assert found["head"]["joules"]["integers"] > 0
    code, table, _ = cli("energy", compiled, "--memory", "dram", "--seq", "32")
    assert code == 0
    for words in ("dense, W4A4", "dram (--memory)", "measured on held-out text", "what column c hangs on", "norms"):
        assert words in table


def test_metrics_and_summary_hold_the_same_columns(cli: Cli, compiled: Path) -> None:
    found = json.loads(cli("energy", compiled, "--json")[1])
    kept = json.loads((compiled / "metrics.json").read_text())["energy"]
    for column in kept:
        assert column["joules"] == pytest.approx(found["models"][-1]["joules_a_token"][column["rule"]])
        assert column["source_joules"] == pytest.approx(found["models"][0]["joules_a_token"][column["rule"]])
        assert f"energy a token, {column['rule']}" in cli("inspect", compiled)[1]


def test_refusals(cli: Cli, compiled: Path, tmp_path: Path) -> None:
    assert "--spikes" in cli("energy", compiled, "--spikes", "1")[2]
    assert "no compiled model" in cli("energy", tmp_path)[2]
    copy = Path(shutil.copytree(compiled, tmp_path / "copy"))
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps({**metrics, "layers": metrics["layers"][1:]}))
    assert "is not of this program" in cli("energy", copy)[2]
    (copy / "metrics.json").unlink()
    code, _, said = cli("energy", copy)
    assert code == 2
    assert "--no-measure" in said


def test_every_driven_op_is_a_product() -> None:
    work, lines = toy_work(3, 3)
    assert {m["op"] for m in lines} <= set(DRIVEN)
    assert len(work.products) == len(lines)


def test_leaky_neurons() -> None:
    """Neurons are priced by step, attention reads one bit an addition, trains are cached whole."""
    store, b = Store(), Builder()
    ids, mask = b.input("ids", Tensor("i64", ("B", "S"))), b.input("mask", Tensor("i64", ("B", "P+S")))
    rows = b.weight(store.put_float("table", np.random.default_rng(0).normal(1, 1, (9, 4)).astype(np.float32)))
    matrix = FixedWeight(8, (4, 4))
    weight = b.weight(store.put("w", matrix, {"codes": np.full((4, 4), 200, dtype=np.int16)}))
    current = b.one("lif.current", b.one("nn.embed", ids, weights=[rows]), T=2, frac=8)
    spikes = b.one("lif.fire", current, beta=230, threshold=179)
    spikes = b.one("lif.fire", b.one("lif.linear", spikes, weights=[weight]), beta=230, threshold=179)
    split = b.one("lif.reshape", spikes, shape=("B", "S", 2, 2), axes=(0, 2, 1, 3))
    kept = b.one("state.append", split, axis=2, state=b.state("k", Train(2, ("B", 2, "P", 2))))
    program = b.program({"rate": b.one("lif.mean", b.one("lif.coincide", split, kept, mask))})
    runner = ReferenceRunner(program, store)
    runner.run(np.array([[1, 2, 3]]))
    lines = layers(program, runner.stats())
    work = work_of_program(program, lines, 3, 3, "lif")
    linear, attention = work.products
    assert (linear.additions, attention.additions) == (lines[0]["additions"], lines[1]["additions"])
    assert (linear.operand_bits, attention.operand_bits) == (16, 1)
    assert {p.name: p.count for p in work.extras} == {"encoders": 3 * 4, "neurons": 2 * 2 * 3 * 4}
    assert work.kv_bits == 2 * 4
    assert joules(spiking_model(work, Memory()).bills[1]) > 0
