"""What every pass promises: exact ones leave outputs alone, none touches what it was given, all give programs that
verify and read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from sdllm.compiler.recipes import SDLLM, parse_pipeline
from sdllm.ir import Builder, GridWeight, Program, Store, Tensor, dequantize, parse_program, print_program, verify
from sdllm.ir.interpreter import KERNELS, Call, Interpreter
from sdllm.passes import Context, PassError, run_pipeline, select, split_pipeline
from sdllm.passes.grids import gptq, inverse_factor, round_to_nearest

from . import models
from .models import decoder

EXACT = ["fold-norms", "fold-scales", "fold-norms,rotate", "fold-norms,rotate{mlp=false,keys=false}"]


def outputs(program: Program, store: Store, ids: np.ndarray) -> torch.Tensor:
    return Interpreter(program, store).run({"ids": torch.from_numpy(ids)})["logits"]


@pytest.mark.parametrize("pipeline", EXACT)
def test_exact_passes_leave_outputs_alone(pipeline: str) -> None:
    program, store, ids = decoder()
    passes = parse_pipeline(pipeline)
    assert all(p.exact for p in passes)
    after = run_pipeline(program, passes, Context(store, ids))
    assert after != program
    expected = outputs(program, store, ids)
    torch.testing.assert_close(outputs(after, store, ids), expected, rtol=1e-4, atol=1e-4)


def test_rotation_spreads_an_outlier_channel() -> None:
    """What rotating is for: one huge channel of the stream no longer decides every token's threshold."""
    program, store, ids = decoder(outlier=50.0)
    rotated = run_pipeline(program, parse_pipeline("fold-norms,rotate"), Context(store, ids))

    def peak(p: Program) -> float:
        seen: list[torch.Tensor] = []
        Interpreter(p, store).run(
            {"ids": torch.from_numpy(ids)},
            watch=lambda op, operands, _: seen.append(operands[0]) if op.name == "nn.linear" else None,
        )
        return float((seen[0].abs().amax(-1) / seen[0].square().mean(-1).sqrt()).mean())

    assert peak(rotated) < 0.7 * peak(program)


def test_recode_keeps_every_count_and_needs_fewer_additions() -> None:
    program, store, ids = decoder()
    spiking = run_pipeline(program, parse_pipeline("insert-encoders{levels=15},halve-steps"), Context(store, ids))
    recoded = run_pipeline(spiking, parse_pipeline("recode"), Context(store, ids))
    assert recoded != spiking

    def counts(p: Program) -> list[tuple[object, torch.Tensor]]:
        seen: list[tuple[object, torch.Tensor]] = []
        Interpreter(p, store).run(
            {"ids": torch.from_numpy(ids)},
            watch=lambda op, _, results: (
                seen.append((op.attrs["code"], results[0])) if op.name == "spike.encode" else None
            ),
        )
        return seen

    before, after = counts(spiking), counts(recoded)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(before, after, strict=True))
    additions = [sum(code.spikes(n.numpy()).sum() for code, n in seen) for seen in (before, after)]
    assert additions[1] < additions[0]


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_halve_steps_states_exactly_what_changes(factor: float) -> None:
    """Same scale, n = q - 8, half the steps; q = 0 alone becomes -7 (reachable only where outliers saturate)."""
    program, store, ids = decoder()
    pipeline = f"insert-encoders{{levels=15,factor={factor}}}"
    before = run_pipeline(program, parse_pipeline(pipeline), Context(store, ids))
    after = run_pipeline(before, parse_pipeline("halve-steps"), Context(store, ids))
    old = next(op for op in before.ops if op.name == "spike.encode")
    new = next(op for op in after.ops if op.name == "spike.encode")
    assert (str(old.attrs["code"]), str(new.attrs["code"])) == ("binary{T=15}", "ternary{T=7}")
    x = torch.randn(64, 33, generator=torch.Generator().manual_seed(0))
    q, v, z = KERNELS["spike.encode"](Call(old, (x,), (), {}, False))
    n, w = KERNELS["spike.encode"](Call(new, (x,), (), {}, False))
    assert torch.equal(v, w)
    assert bool((z == 8).all())
    assert torch.equal(n, torch.where(q == 0, -7, q - 8))
    assert bool((q == 0).any()) == (factor < 1.0)
    assert not any(op.name == "spike.center" for op in after.ops)


def test_the_recipe_verifies_reads_back_and_leaves_its_input() -> None:
    program, store, ids = decoder()
    text = print_program(program)
    after = run_pipeline(program, parse_pipeline(SDLLM.pipeline), Context(store, ids))
    assert print_program(program) == text
    assert parse_program(print_program(verify(after))) == after
    body = [op for op in after.ops if op.name == "nn.linear"]
    assert [op.loc.module for op in body] == ["lm_head"]


def test_gptq_loses_less_output_than_rounding() -> None:
    program, store, ids = decoder()
    errors = {}
    for method in ("rtn", "gptq"):
        quantised = run_pipeline(
            program, parse_pipeline(f"quantize-weights{{method={method},bits=3,group=8}}"), Context(store, ids)
        )
        errors[method] = (outputs(quantised, store, ids) - outputs(program, store, ids)).norm()
    assert errors["gptq"] < errors["rtn"]


@pytest.mark.parametrize("first", ["fold-scales", "quantize-weights{bits=4,group=8},insert-encoders"])
def test_gptq_spreads_the_errors_of_a_head(first: str) -> None:
    """Of a float program, and of one that spikes already: by the inputs its own body gives the head."""
    program, store, ids = decoder()
    before = run_pipeline(program, parse_pipeline(first), Context(store, ids))
    want = outputs(before, store, ids)
    errors = {}
    for method in ("rtn", "gptq", "gptq,costly=true"):
        text = f"quantize-weights{{method={method},bits=8,group=8,head_bits=3}}"
        after = run_pipeline(before, parse_pipeline(text), Context(store, ids))
        errors[method] = (outputs(after, store, ids) - want).norm()
    assert errors["gptq"] < 0.9 * errors["rtn"]
    assert errors["gptq,costly=true"] < 0.9 * errors["rtn"]


def test_select_and_parse() -> None:
    passes = parse_pipeline("fold-norms,rotate{seed=3},insert-encoders")
    assert [p.name for p in select(passes, "rotate", "rotate")] == ["rotate"]
    assert str(passes[1]) == "rotate{seed=3}"
    with pytest.raises(PassError, match="no pass 'recode'"):
        select(passes, "recode")
    with pytest.raises(PassError, match="no option 'sed'"):
        parse_pipeline("rotate{sed=3}")
    with pytest.raises(PassError, match="seed=x is no int"):
        parse_pipeline("rotate{seed=x}")
    with pytest.raises(PassError, match="cannot read the pipeline at"):
        list(split_pipeline("rotate{seed=3"))
    with pytest.raises(PassError, match="'seed' has no value"):
        list(split_pipeline("rotate{seed}"))


def test_a_pass_that_measures_says_it_has_nothing_to_measure() -> None:
    program, store, _ = decoder()
    with pytest.raises(PassError, match=r"pass 1, quantize-weights: .*no calibration tokens"):
        run_pipeline(program, parse_pipeline("quantize-weights{method=gptq}"), Context(store))


@pytest.mark.parametrize("group", [48, 72, 96])
def test_gptq_with_groups_that_no_block_divides(group: int) -> None:
    """Blocks of 64 columns must not run past a group, whose scale is found when its first column is reached."""
    random = torch.Generator().manual_seed(0)
    x, w = torch.randn(400, 192, generator=random), torch.randn(8, 192, generator=random)
    of = GridWeight(4, group, False, (8, 192))
    factor = inverse_factor(x.T @ x, 0.01)

    def error(parts: Mapping[str, np.ndarray]) -> float:
        return float((x @ (torch.from_numpy(dequantize(of, parts)) - w).T).norm())

    assert error(gptq(w.numpy(), of, factor)) < error(round_to_nearest(w.numpy(), of))
    assert error(gptq(w.numpy(), of, factor, costly=True)) < error(round_to_nearest(w.numpy(), of))


@pytest.mark.parametrize("minimum", [False, True])
def test_scales_by_cost_lose_less_output(minimum: bool) -> None:
    """Where inputs differ in size, as channels of a language model do, an outlier among the weights of a small one is
    not worth a wide step; the last group is smaller."""
    random = torch.Generator().manual_seed(0)
    sizes = torch.exp(2 * torch.randn(88, generator=random))
    x, w = torch.randn(2000, 88, generator=random) * sizes, torch.randn(64, 88, generator=random)
    of = GridWeight(3, 32, minimum, (64, 88))
    factor = inverse_factor(x.T @ x, 0.01)
    errors = [
        float((x @ (torch.from_numpy(dequantize(of, gptq(w.numpy(), of, factor, costly=costly))) - w).T).norm())
        for costly in (False, True)
    ]
    assert errors[1] < 0.95 * errors[0]


def test_rotations_from_two_seeds_leave_each_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have a factor of 3 x 3: the second must not take the first one's place."""
    monkeypatch.setattr(models, "HEAD", 12)
    program, store, ids = decoder()
    twice = run_pipeline(program, parse_pipeline("fold-norms,rotate,rotate{seed=1}"), Context(store, ids))
    torch.testing.assert_close(outputs(twice, store, ids), outputs(program, store, ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("quantize-weights,fold-norms", "quantised already; run this before quantize-weights"),
        ("quantize-weights,rotate{residual=false}", "quantised already; run this before quantize-weights"),
        ("quantize-weights,quantize-weights{bits=8}", "every matrix is quantised already"),
        ("insert-encoders,quantize-weights", "run quantize-weights before insert-encoders"),
        ("halve-steps", "run insert-encoders first"),
        ("recode", "run insert-encoders first"),
        ("insert-encoders,rotate", "run"),
        ("quantize-weights{bits=8,minimum=true}", "bits are 2 to 7 beside a minimum"),
        ("quantize-weights{method=gptq,damp=nan}", "damp more than 0"),
        ("quantize-weights{costly=true}", "costly=true goes with method=gptq"),
        ("quantize-weights{group=-1}", "group is 0 or more"),
        ("rotate{seed=-1}", "seed=-1 must be 0 or more"),
        ("rotate{seed=1,seed=2}", "'seed' is given twice"),
        ("insert-encoders{factor=inf}", "factor must be positive and finite"),
    ],
)
def test_odd_orders_and_options_are_refused(pipeline: str, said: str) -> None:
    program, store, ids = decoder()
    with pytest.raises(PassError, match=re.escape(said)):
        run_pipeline(program, parse_pipeline(pipeline), Context(store, ids))


def test_halve_steps_says_when_there_is_nothing_to_halve() -> None:
    program, store, ids = decoder()
    context = Context(store, ids)
    run_pipeline(program, parse_pipeline("insert-encoders{grid=symmetric,levels=7},halve-steps"), context)
    assert any("nothing is halved" in note.text and not note.module for note in context.notes)


def test_a_scale_stays_where_its_value_is_read_twice() -> None:
    """Attention whose queries are its keys: a scale folded into the one projection would count twice."""
    build, store = Builder(), Store()
    ids = build.input("ids", Tensor("i64", ("B", "S")))
    mask = build.input("mask", Tensor("i64", ("B", "P+S")))
    table, matrix = (build.weight(store.put_float(n, np.random.default_rng(0).normal(size=(8, 8)))) for n in "ew")
    x = build.one("nn.linear", build.one("nn.embed", ids, weights=[table]), weights=[matrix])
    split = build.one("nn.permute", build.one("nn.reshape", x, shape=("B", "S", 2, 4)), axes=(0, 2, 1, 3))
    whole = build.one("state.append", split, state=build.state("kv", Tensor("f32", ("B", 2, "P", 4))), axis=2)
    mixed = build.one("nn.attend", split, whole, whole, mask, scale=0.25)
    program = verify(build.program({"logits": mixed}, {"causal": True}))
    tokens = np.arange(6).reshape(1, 6)
    after = run_pipeline(program, parse_pipeline("fold-scales"), Context(store, tokens))
    torch.testing.assert_close(outputs(after, store, tokens), outputs(program, store, tokens))


def test_recode_leaves_priced_encoders_alone() -> None:
    """Their counts were chosen by the spikes of the code they have; another code would choose others."""
    program, store, ids = decoder()
    pipeline = "insert-encoders{code=ternary:7,price=0.5,attention_code=csd:4}"
    spiking = run_pipeline(program, parse_pipeline(pipeline), Context(store, ids))
    context = Context(store, ids)
    recoded = run_pipeline(spiking, parse_pipeline("recode"), context)
    torch.testing.assert_close(outputs(recoded, store, ids), outputs(spiking, store, ids))
    assert any("chosen by the spikes" in note.text for note in context.notes)


def test_encoders_are_inserted_once() -> None:
    program, store, ids = decoder()
    with pytest.raises(PassError, match="pass 2, insert-encoders: the program has encoders already"):
        run_pipeline(program, parse_pipeline("insert-encoders,insert-encoders"), Context(store, ids))
