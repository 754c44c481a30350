"""Small whole decoders as ONNX: the reference's logits and counts, decoding, batches, padding, and what users see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from sdllm.backends.interface import Branching, Writing
from sdllm.backends.onnx import ONNXBackend
from sdllm.backends.onnx import backend as module
from sdllm.backends.onnx.backend import DATA, MAP
from sdllm.backends.onnx.runner import MODEL, ONNXRunner
from sdllm.backends.reference import ReferenceBackend
from sdllm.ir import CSD, Binary, Builder, DigitRamp, IRError, Store, Tensor

from ...toys import toy_decoder
from ..common import emitted
from ..test_whole_models import MODELS, assert_close, ids_of
from .common import EXACT, emit, operators

ALL: dict[str, dict[str, Any]] = {
    **MODELS,
    "digit ramp": {"code": DigitRamp(6, 4, 10), "group": 8, "spiked_attention": True, "folded": True},
    "wide counts": {"code": Binary(200), "grid": "offset"},
    "minima in five": {"code": CSD(4), "bits": 7, "minimum": True, "group": 5},
}


@pytest.mark.parametrize("steps", EXACT)
@pytest.mark.parametrize("name", ALL)
def test_same_logits_and_counts_as_the_reference(name: str, steps: str, tmp_path: Path) -> None:
    model = toy_decoder(**ALL[name])
    reference = emitted(ReferenceBackend(), *model, tmp_path / "reference")
    runner = ONNXRunner(emit(*model, tmp_path / "onnx", **EXACT[steps]))
    ids = ids_of(2, 6)
    states = [r.new_state(2) for r in (reference, runner)]
    for part in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        want, got = (r.run(part, s)["logits"] for r, s in zip((reference, runner), states, strict=True))
        assert_close(got, want)
    assert runner.stats() == reference.stats()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit(*toy_decoder(spiked_attention=True), tmp_path_factory.mktemp("onnx") / "onnx")


@pytest.fixture
def runner(folder: Path) -> ONNXRunner:
    return ONNXRunner(folder)


def test_decode_follows_prefill_at_any_length(runner: ONNXRunner) -> None:
    ids = ids_of(1, 40)
    whole = runner.run(ids)["logits"]
    state = runner.new_state()
    steps = [runner.run(ids[:, i : i + 1], state)["logits"] for i in range(40)]
    assert_close(np.concatenate(steps, axis=1), whole)


def test_sequences_of_a_batch_do_not_meet(runner: ONNXRunner) -> None:
    ids = ids_of(3, 5)
    together = runner.run(ids)["logits"]
    for b in range(3):
        assert_close(runner.run(ids[b : b + 1])["logits"][0], together[b])


def test_padding_changes_nothing(runner: ONNXRunner) -> None:
    """A prompt padded on the left, then decoded on, gives what it gives alone."""
    prompt, more = ids_of(1, 4), ids_of(1, 1, seed=1)
    alone, padded = runner.new_state(), runner.new_state()
    want = runner.run(prompt, alone)["logits"]
    filler = np.concatenate((ids_of(1, 3, seed=2), prompt), axis=1)
    mask = np.array([[0, 0, 0, 1, 1, 1, 1]])
    assert_close(runner.run(filler, padded, mask=mask)["logits"][:, 3:], want)
    assert_close(runner.run(more, padded)["logits"], runner.run(more, alone)["logits"])
    with pytest.raises(IRError, match=r"mask has shape \(1, 2\)"):
        runner.run(ids_of(1, 3), mask=np.ones((1, 2), dtype=np.int64))


def test_it_branches_and_writes(folder: Path) -> None:
    runner, ids = ONNXRunner(folder), ids_of(1, 6)[0]
    assert isinstance(runner, Branching)
    assert isinstance(runner, Writing)
    want = runner.run(ids[None])["logits"][0, -1]
    state = runner.branch(ids[:4], 2)
    assert_close(runner.run(np.stack((ids[4:], ids[4:])), state)["logits"][1, -1], want)
    counted = runner.stats().tokens
    assert counted == 6 + 4 + 4
    for _ in range(2):
        runner.reset()
        runner.prefill(ids[:4])
        runner.step(int(ids[4]))
        assert_close(runner.step(int(ids[5])), want)
    before = runner.stats().counts
    runner.counting = True
    runner.step(1)
    assert runner.stats().counts != before


def test_inputs_and_outputs_have_the_names_that_others_use(folder: Path) -> None:
    session = onnxruntime.InferenceSession(str(folder / MODEL), providers=["CPUExecutionProvider"])
    given = {i.name: i.shape for i in session.get_inputs()}
    assert list(given)[:3] == ["input_ids", "position_ids", "attention_mask"]
    assert given["input_ids"] == ["batch_size", "sequence_length"]
    assert given["attention_mask"] == ["batch_size", "past_sequence_length + sequence_length"]
    names = [o.name for o in session.get_outputs()]
    assert names[0] == "logits"
    assert {n.replace("present", "past_key_values") for n in names[1:]} == set(given) - set(list(given)[:3])


def test_dense_states_are_named_as_optimum_names_them(tmp_path: Path) -> None:
    b, store = Builder(), Store()
    ids = b.input("ids", Tensor("i64", ("B", "S")))
    x = b.one("nn.embed", ids, weights=[b.weight(store.put_float("t", np.eye(5)))])
    x = b.one("nn.permute", b.one("nn.reshape", x, shape=("B", "S", 1, 5)), axes=(0, 2, 1, 3))
    for layer in range(2):
        for part in "kv":
            state = b.state(f"kv.{layer}.{part}", Tensor("f32", ("B", 1, "P", 5)))
            last = b.one("state.append", x, axis=2, state=state)
    model = onnx.load(emit(b.program({"logits": last}), store, tmp_path) / MODEL)
    words = [f"{layer}.{part}" for layer in range(2) for part in ("key", "value")]
    assert [i.name for i in model.graph.input] == ["input_ids", *(f"past_key_values.{w}" for w in words)]
    assert [o.name for o in model.graph.output] == ["logits", *(f"present.{w}" for w in words)]


def test_the_graph_shows_encode_linear_read_out(folder: Path) -> None:
    """Each spiked product is a chain of three calls; few functions serve all layers."""
    model = onnx.load(folder / MODEL)
    made = {out: node for node in model.graph.node for out in node.output}
    read = [node for node in model.graph.node if node.op_type.startswith("ReadOut")]
    assert len(read) == 2 * 7
    for node in read:
        linear = made[node.input[0]]
        assert linear.op_type.startswith("SpikeLinear")
        assert made[linear.input[0]].op_type.startswith("SpikeEncode")
    assert len(model.functions) < 20
    assert all(f.doc_string or f.name.startswith(("Rotary", "Attention")) for f in model.functions)


def test_the_map_says_what_became_of_each_op(folder: Path) -> None:
    program, _ = toy_decoder(spiked_attention=True)
    entries = json.loads((folder / MAP).read_text())
    assert [e["op"] for e in entries] == [op.result.name for op in program.ops]
    node = {p.value: n for n in onnx.load(folder / MODEL).graph.node for p in n.metadata_props if p.key == "sdllm.op"}
    for entry, op in zip(entries, program.ops, strict=True):
        assert entry.keys() == {"op", "ir", "became", "module", "loc"}
        assert entry["ir"] in node
        assert (entry["module"], tuple(entry["loc"])) == (op.loc.module, op.loc.sources)
        first = node[entry["ir"]].op_type
        assert entry["became"].removeprefix("ai.sdllm.").split(" + ")[-1] == first


def test_the_same_bytes_and_metadata(folder: Path, tmp_path: Path) -> None:
    again = emit(*toy_decoder(spiked_attention=True), tmp_path / "onnx")
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    told = {p.key: p.value for p in onnx.load(folder / MODEL).metadata_props}
    assert told["sdllm.mode"] == "exact"
    assert len(told["sdllm.program_sha256"]) == 64


def test_large_weights_stand_beside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model, ids = toy_decoder(1, vocabulary=300), ids_of(1, 4)
    want = ONNXRunner(emit(*model, tmp_path / "one")).run(ids)["logits"]
    assert not (tmp_path / "one" / DATA).exists()
    monkeypatch.setattr(module, "LARGE", 1000)
    out = emit(*model, tmp_path / "two")
    assert (out / DATA).stat().st_size > 1000
    np.testing.assert_array_equal(ONNXRunner(out).run(ids)["logits"], want)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernels": "add"}, "no option 'kernels'"),
        ({"mode": "quick"}, "mode must be exact or fast, not 'quick'"),
        ({"steps": "unrolled", "mode": "fast"}, "steps=unrolled goes with mode=exact"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(IRError, match=message):
        ONNXBackend().check(options)


def test_an_unknown_op_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program, store = toy_decoder(1)
    monkeypatch.delitem(module.PRINTERS, "spike.linear")
    (first, *_) = ONNXBackend().supports(program)
    assert first == "spike.linear at layers.0.attn.q: the onnx backend has no form for it"
    with pytest.raises(IRError, match=r"layers\.0\.attn\.q"):
        ONNXBackend().emit(program, store, tmp_path, {})


def test_exact_has_standard_operators_only(folder: Path) -> None:
    assert {domain for domain, _ in operators(folder)} == {"", "ai.sdllm"}
