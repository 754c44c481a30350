"""A student is a transformers model, and its program fires as it does, spike for spike, by every backend."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.backends.c import CBackend
from sdllm.backends.c.runner import CRunner
from sdllm.backends.interface import Backend
from sdllm.backends.reference import ReferenceBackend
from sdllm.backends.simulator import SimulatorBackend
from sdllm.compiler.bispikclm import BiSpikCLMConfig, BiSpikCLMForCausalLM
from sdllm.compiler.recipes import usual
from sdllm.ir import Program, Store, Train
from sdllm.ir.interpreter import Interpreter
from transformers import AutoModelForCausalLM

from ..backends.common import emitted
from .conftest import VARIANTS, student

Saved = tuple[BiSpikCLMForCausalLM, Path]
Lowered = tuple[Program, Store]
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5], [31, 41, 5, 9, 26, 5, 35, 8, 9]])


def with_trains(program: Program) -> Program:
    """Every train that a neuron fires becomes an output."""
    return replace(program, outputs={**program.outputs, **{o.result.name: o.result for o in program.ops if fires(o)}})


def fires(op: object) -> bool:
    return op.name == "lif.fire"  # type: ignore[attr-defined]


def test_it_loads_as_any_model_does(saved: Saved) -> None:
    model, folder = saved
    loaded = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert type(loaded) is BiSpikCLMForCausalLM
    assert torch.equal(loaded(input_ids=IDS).logits, model(input_ids=IDS).logits)
    written = loaded.generate(IDS, max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert torch.equal(written[:, 9], model(input_ids=IDS).logits[:, -1].argmax(-1))


def test_its_program_fires_as_it_does(saved: Saved, lowered: Lowered) -> None:
    """Residual sums agree to the last bit, so every train before them does."""
    model, _ = saved
    program, store = lowered
    residuals: list[torch.Tensor] = []
    rates: list[float] = []

    def watch(op, operands, results) -> None:
        if op.name == "nn.add":
            residuals.append(results[0])
        if op.name == "lif.fire":
            rates.append(float(results[0].float().mean()))

    logits = Interpreter(program, store).run({"ids": IDS}, watch=watch)["logits"]
    with torch.no_grad():
        want = model(input_ids=IDS, output_hidden_states=True)
    assert sum(0.02 < r < 0.9 for r in rates) >= 0.6 * len(rates), rates
    assert all(torch.equal(a, b) for a, b in zip(residuals[2::2], want.hidden_states, strict=True))
    torch.testing.assert_close(logits, want.logits)


def test_settling_changes_no_linear(saved: Saved) -> None:
    """Weights are rounded as they are used; only embeddings change what is computed."""
    model = copy.deepcopy(saved[0])
    embeddings = [m.weight.clone() for m in (model.model.embed_tokens, model.model.embed_positions)]
    before = model(input_ids=IDS).logits
    model.settle()
    codes = model.model.layers[0].feed_forward.fc1.weight * 2**model.config.frac
    assert torch.equal(codes, codes.round())
    with torch.no_grad():
        for module, values in zip((model.model.embed_tokens, model.model.embed_positions), embeddings, strict=True):
            module.weight.copy_(values)
    assert torch.equal(model(input_ids=IDS).logits, before)


@pytest.mark.parametrize("backend", [ReferenceBackend(), SimulatorBackend(), CBackend()], ids=lambda b: b.name)
def test_backends_agree_with_the_time_domain(lowered: Lowered, backend: Backend, tmp_path: Path) -> None:
    """Prefill in one call and in pieces: the same spikes, counted, as the interpreter's in the time domain."""
    program, store = lowered
    runner = emitted(backend, program, store, tmp_path / backend.name)
    state = runner.new_state(2)
    parts = [runner.run(IDS.numpy()[:, a:b], state)["logits"] for a, b in ((0, 5), (5, 6), (6, 9))]
    want = Interpreter(program, store, in_time=True).run({"ids": IDS})["logits"]
    np.testing.assert_allclose(np.concatenate(parts, 1), want.numpy(), rtol=1e-4, atol=1e-4)
    reference = emitted(ReferenceBackend(), program, store, tmp_path / "again")
    reference.run(IDS.numpy())
    got = {c.op: c for c in runner.stats().counts}
    for count in reference.stats().counts:
        if "coincide" not in count.op:
            assert got[count.op].steps == count.steps, count


@pytest.mark.parametrize("backend", [SimulatorBackend(), CBackend()], ids=lambda b: b.name)
def test_every_train_is_the_interpreters(lowered: Lowered, backend: Backend, tmp_path: Path) -> None:
    """Spike for spike, in the time domain, of two sequences, one of them padded."""
    program, store = lowered
    whole = with_trains(program)
    assert all(isinstance(v.type, Train) for n, v in whole.outputs.items() if n != "logits")
    runner = emitted(backend, whole, store, tmp_path)
    forward = runner.forward if isinstance(runner, CRunner) else runner.model.forward  # type: ignore[attr-defined]
    interpreter = Interpreter(whole, store, in_time=True)
    mask = torch.tensor([[1] * 9, [0, 0, 0, *[1] * 6]])
    given = interpreter.bind({"ids": IDS, "mask": mask}, interpreter.new_state(2))
    got = forward({name: value.numpy() for name, value in given.items()})
    want = interpreter.run({"ids": IDS, "mask": mask})
    assert len(want) > 15
    for name, train in want.items():
        if name != "logits":
            np.testing.assert_array_equal(got[name], train.numpy(), err_msg=name)


def test_emitted_code_multiplies_nothing_before_the_head(lowered: Lowered, tmp_path: Path) -> None:
    """The simulator's model.py: between embedding and norm stand lif calls, appends, reshapes and sums."""
    program, store = lowered
    SimulatorBackend().emit(program, store, tmp_path, {})
    body = (tmp_path / "model.py").read_text().split("def forward")[1]
    lines = [line.strip() for line in body.splitlines() if " = " in line and not line.strip().startswith("#")]
    inner = lines[: next(i for i, line in enumerate(lines) if "_norm(" in line)]
    assert sum("lif.linear(" in line for line in inner) == sum(o.name == "lif.linear" for o in program.ops)
    assert not any(sign in line for line in inner for sign in (" * ", " @ ", " / ", "softmax", "dense.linear"))


def test_emitted_c_calls_nothing_else_before_the_head(lowered: Lowered, tmp_path: Path) -> None:
    """Between embedding and norm: tables, sums, copies into states, and the functions of lif.c."""
    CBackend().emit(*lowered, tmp_path, {})
    body = (tmp_path / "model.c").read_text().split("/* %", 1)[1]
    inner = body[: re.search(r"K->\w+_norm\(", body).start()]  # type: ignore[union-attr]
    called = set(re.findall(r"\b(sd_\w+|K->\w+)\(", re.sub(r"/\*.*?\*/", "", inner)))
    assert {c for c in called if not c.startswith("sd_lif_")} <= {
        "sd_embed", "K->map2", "sd_copy", "sd_clock", "sd_small", "sd_done", "sd_once", "sd_count", "sd_cost",
    }  # fmt: skip
    assert set(re.findall(r"K->map2\(t, (\w+)", inner)) == {"SD_ADD"}
    assert {"sd_lif_linear", "sd_lif_coincide", "sd_lif_gather", "sd_lif_fire"} <= called


def test_padding_on_the_left_changes_nothing(saved: Saved) -> None:
    model, _ = saved
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1]] * 2)
    padded = model(input_ids=IDS, attention_mask=mask).logits[:, 2:]
    torch.testing.assert_close(padded, model(input_ids=IDS[:, 2:]).logits)


def test_a_student_has_a_recipe_of_its_own(saved: Saved, tiny: Path) -> None:
    assert usual(str(saved[1])) == "bispikclm"
    assert usual(str(tiny)) == "sdllm"
    assert usual("somebody/model") == "sdllm"


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_steps": 3},
        {"num_attention_heads": 5},
        {"num_key_value_heads": 3},
        {"style": "bert"},
        {"block_output": "x"},
        {"score_threshold": 0},
    ],
    ids=str,
)
def test_numbers_that_cannot_be_are_refused(wrong: dict) -> None:
    (name,) = wrong
    with pytest.raises(Exception, match=name if name != "score_threshold" else "thresholds"):
        BiSpikCLMConfig(**wrong)


def test_variants_are_students() -> None:
    assert {student(**v).config.style for v in VARIANTS.values()} == {"opt", "llama"}
