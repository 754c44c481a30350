"""Optimal Brain Spiking: saliency by its formula, channels set apart exactly, and more steps where it matters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sdllm.backends.reference import ReferenceRunner
from sdllm.compiler.recipes import parse_pipeline, recipe
from sdllm.compiler.spikes import firing, split
from sdllm.ir import GIF, Builder, GridWeight, Op, Program, Segment, Spikes, Store, Tensor, parse_program, print_program
from sdllm.ir.interpreter import Interpreter
from sdllm.passes import Context, PassError, run_pipeline

from .models import HEAD, HEADS, SHARED, WIDTH, decoder

ENCODERS = "insert-encoders{code=gif:16:1,salient=gif:16:2,salient_levels=31,attention_code=gif:8:1:true,%s}"
SPIKES = ENCODERS % "attention_salient=gif:8:2:true"


def run(program: Program, store: Store, ids: np.ndarray, **choices: bool) -> torch.Tensor:
    return Interpreter(program, store, **choices).run({"ids": torch.from_numpy(ids)})["logits"]


def rewritten(program: Program, store: Store, ids: np.ndarray, pipeline: str) -> Program:
    return run_pipeline(program, parse_pipeline(pipeline), Context(store, ids))


def seen(program: Program, store: Store, ids: np.ndarray) -> dict[str, torch.Tensor]:
    """Every value of a run, by name."""
    values: dict[str, torch.Tensor] = {}

    def watch(op: Op, operands: tuple[torch.Tensor, ...], results: tuple[torch.Tensor, ...]) -> None:
        values.update(zip((v.name for v in (*op.operands, *op.results)), (*operands, *results), strict=True))

    Interpreter(program, store).run({"ids": torch.from_numpy(ids)}, watch=watch)
    return values


def apart(program: Program, module: str) -> list[tuple[int, ...]]:
    return [op.attrs["channels"] for op in program.ops if op.name == "nn.set_apart" and op.loc.module == module]


@pytest.mark.parametrize("method", ["obs", "magnitude", "random"])
@pytest.mark.parametrize("attention", ["true", "false"])
def test_setting_channels_apart_changes_nothing(method: str, attention: str) -> None:
    program, store, ids = decoder()
    after = rewritten(program, store, ids, f"allocate-steps{{method={method},share=0.2,attention={attention}}}")
    assert sum(op.name == "nn.set_apart" for op in after.ops) == 2 * (8 if attention == "true" else 4)
    assert parse_program(print_program(after)) == after
    torch.testing.assert_close(run(after, store, ids), run(program, store, ids), rtol=1e-4, atol=1e-4)


def test_saliency_is_that_of_the_formula() -> None:
    """mean((X·WᵀW)∘X), summed over q, k and v, which share their input; (QᵀQ·K)∘K and (PᵀP·V)∘V in float64."""
    program, store, ids = decoder()
    after = rewritten(program, store, ids, "allocate-steps{share=0.25}")
    values = seen(program, store, ids)
    linears = [op for op in program.ops if op.loc.module in ("layers.0.q", "layers.0.k", "layers.0.v")]
    x = values[linears[0].operands[0].name].double().reshape(-1, WIDTH)
    scores = torch.zeros(WIDTH, dtype=torch.float64)
    for op in linears:
        w = torch.from_numpy(store.floats(program.weights[op.weights[0]])).double()
        scores += ((x @ w.T @ w) * x).mean(0)
    best = scores.argsort(descending=True)[: WIDTH // 4]
    assert apart(after, "layers.0.q") == [tuple(sorted(best.tolist()))]

    attend = next(op for op in program.ops if op.name == "nn.attend")
    q, k, v = (values[o.name].double() for o in attend.operands[:3])
    k, v = (part.repeat_interleave(HEADS // SHARED, 1) for part in (k, v))
    hidden = torch.ones(ids.shape[1], ids.shape[1]).tril() == 0
    p = ((q @ k.mT) * HEAD**-0.5).masked_fill(hidden, -torch.inf).softmax(-1)
    of_k, of_v = ((q.mT @ q @ k.mT).mT * k).sum((0, 1, 2)), ((p.mT @ p @ v) * v).sum((0, 1, 2))
    k_top, v_top = (tuple(sorted(s.argsort(descending=True)[: HEAD // 4].tolist())) for s in (of_k, of_v))
    assert set(apart(after, attend.loc.module)) == {k_top, v_top}


def outliers(width: int = 32, out: int = 16) -> tuple[Program, Store, np.ndarray, list[int]]:
    """One linear layer whose inputs have a few channels far larger than the others, and matter."""
    b, store, random = Builder(), Store(), np.random.default_rng(5)
    ids = b.input("ids", Tensor("i64", ("B", "S")))
    table, big = random.normal(size=(50, width)), [3, 17, 30]
    table[:, big] *= 20
    x = b.one("nn.embed", ids, weights=[b.weight(store.put_float("embed", table))])
    y = b.one("nn.linear", x, weights=[b.weight(store.put_float("w", random.normal(size=(out, width))))])
    return b.program({"y": b.one("nn.add", y, y)}, {"causal": True}), store, random.integers(0, 50, (4, 32)), big


@pytest.mark.parametrize("in_time", [False, True], ids=["counts", "time"])
def test_salient_channels_get_the_steps(in_time: bool) -> None:
    """The type shows them, the outliers are found, and the output is far nearer than with channels at random."""
    program, store, ids, big = outliers()
    exact = Interpreter(program, store).run({"ids": torch.from_numpy(ids)})["y"]
    errors = {}
    for method in ("obs", "random"):
        pipeline = (
            f"allocate-steps{{method={method},share=0.1}},quantize-weights{{bits=8}},{ENCODERS % 'attention=false'}"
        )
        after = rewritten(program, store, ids, pipeline)
        encode = next(op for op in after.ops if op.name == "spike.encode")
        assert encode.result.type == Spikes((Segment(0, 3, GIF(16, 2)), Segment(3, 32, GIF(16, 1))), ("B", "S", 32))
        assert encode.attrs["levels"] == (31, 0)
        if method == "obs":
            assert apart(after, "") == [tuple(big)]
        got = Interpreter(after, store, in_time=in_time).run({"ids": torch.from_numpy(ids)})["y"]
        errors[method] = float((got - exact).norm() / exact.norm())
    assert errors["obs"] < 0.5 * errors["random"]
    plain = rewritten(program, store, ids, "quantize-weights{bits=8},insert-encoders{code=gif:16:1}")
    uniform = float((Interpreter(plain, store).run({"ids": torch.from_numpy(ids)})["y"] - exact).norm() / exact.norm())
    assert errors["obs"] < 0.5 * uniform


def test_salient_weights_get_the_steps() -> None:
    """Where weights spike, those that outliers meet have more levels, and the output is far nearer than otherwise."""
    program, store, ids, _ = outliers()
    exact = Interpreter(program, store).run({"ids": torch.from_numpy(ids)})["y"]
    errors = {}
    for salient in ("method=obs", "method=random", ""):
        apart = f"allocate-steps{{share=0.1,multiple=4,{salient}}}," if salient else ""
        spikes = f"code=gif:4:1{',salient_code=gif:4:8' if salient else ''}"
        weights = f"quantize-weights{{group=4,minimum=true,{spikes}}}"
        after = rewritten(program, store, ids, f"{apart}{weights},insert-encoders{{code=bits:16,attention=false}}")
        (of,) = [w.type for w in after.weights.values() if isinstance(w.type, GridWeight)]
        assert of.ranges == (((0, 4, 0, 24), (4, 32, 0, 3)) if salient else ((0, 32, 0, 3),))
        got = Interpreter(after, store).run({"ids": torch.from_numpy(ids)})["y"]
        errors[salient] = float((got - exact).norm() / exact.norm())
    assert errors["method=obs"] < 0.5 * min(errors["method=random"], errors[""])


def test_random_channels_depend_on_the_seed_alone() -> None:
    program, store, ids = decoder()
    first, again, other = (
        rewritten(program, store, ids, f"allocate-steps{{method=random,seed={seed}}}") for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert rewritten(program, store, ids[:1], "allocate-steps{method=random,seed=1}") == first


def test_keys_and_values_have_salient_channels_too() -> None:
    """Two caches each, of one code each; counts and time agree; and one call gives what two do."""
    program, store, ids = decoder(1)
    after = rewritten(program, store, ids, f"allocate-steps{{share=0.2}},quantize-weights,{SPIKES}")
    kept = {name: str(s.type) for name, s in after.states.items()}
    assert kept["layers.0.kv.k.salient"] == "spikes<gif{L=8, T=2, signed=true}>[B,2,P,2]"
    assert kept["layers.0.kv.k"] == "spikes<gif{L=8, T=1, signed=true}>[B,2,P,6]"
    assert len(kept) == 8
    assert sum(op.name == "spike.matmul" for op in after.ops) == 4
    whole = run(after, store, ids)
    assert torch.equal(whole, run(after, store, ids, in_time=True))
    interpreter = Interpreter(after, store)
    state = interpreter.new_state(len(ids))
    parts = [interpreter.run({"ids": torch.from_numpy(part)}, state)["logits"] for part in np.split(ids, [13], axis=1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        "",
        "{T=4}",
        "{T=1,attention=false}",
        "{T=2,saturate=false,rotate=true}",
        "{weights=2,activations=8,group=0}",
        "{weights=2,activations=16,group=8}",
        "{weights=3,activations=16,T=4,group=8,saturate=false}",
        "{weights=2,activations=16,T=1,group=8}",
    ],
)
def test_the_recipe_runs(options: str) -> None:
    program, store, ids = decoder(1)
    after = rewritten(program, store, ids, recipe(f"spikellm{options}").pipeline)
    assert [op.loc.module for op in after.ops if op.name == "nn.linear"] == ["lm_head"]
    if "activations=16" not in options:
        assert not any(op.name == "spike.center" for op in after.ops)  # fully additive
    assert torch.equal(run(after, store, ids), run(after, store, ids, in_time=True))
    assert parse_program(print_program(after)) == after


@pytest.mark.parametrize(("levels", "sign", "bits"), [(8, ":true", math.log2(15)), (16, "", 4.0)])
def test_ace_counts_the_salient_steps(levels: int, sign: str, bits: float) -> None:
    """Weight bits x spike bits x (1 + share of channels that take a second step)."""
    program, store, ids = decoder(1)
    encoders = f"insert-encoders{{code=gif:{levels}:1{sign},salient=gif:{levels}:2{sign},attention=false}}"
    after = rewritten(program, store, ids, f"allocate-steps{{share=0.25}},quantize-weights{{bits=3}},{encoders}")
    runner = ReferenceRunner(after, store)
    runner.run(ids)
    linears, _ = split(after, runner.stats())
    assert firing(after, linears).ace == pytest.approx(3 * bits * 1.25)


def test_ace_counts_the_steps_of_weights() -> None:
    """Steps of weights times steps of activations, where their salient channels meet."""
    program, store, ids = decoder(1)
    weights = "quantize-weights{group=8,minimum=true,code=gif:4:1,salient_code=gif:4:3}"
    encoders = "insert-encoders{code=gif:16:1,salient=gif:16:2,salient_levels=31,attention=false}"
    after = rewritten(program, store, ids, f"allocate-steps{{share=0.01,multiple=8}},{weights},{encoders}")
    runner = ReferenceRunner(after, store)
    runner.run(ids)
    linears, _ = split(after, runner.stats())
    shapes = [after.weights[op.weights[0]].type.shape for op in after.ops if op.name == "spike.linear"]
    wanted = sum(out * 2 * 4 * (inputs + 8 * (3 * 2 - 1)) for out, inputs in shapes)
    assert firing(after, linears).ace == pytest.approx(wanted / sum(out * inputs for out, inputs in shapes))


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ("quantize-weights{code=gif:4:1}", "unsigned spikes go with minimum=true"),
        ("quantize-weights{code=gif:128:2,minimum=true}", "at most 127"),
        ("quantize-weights{salient_code=gif:4:2,minimum=true}", "salient_code needs code"),
        ("quantize-weights{code=gif:4:1,salient_code=gif:4:2,minimum=true}", "run allocate-steps before"),
        ("allocate-steps,quantize-weights{code=gif:4:1,salient_code=gif:4:2,minimum=true,group=8}", "within a group"),
        ("allocate-steps{multiple=0}", "multiple=0"),
        ("allocate-steps{method=best}", "method=best is none of"),
        ("allocate-steps{share=1.0}", "share=1.0"),
        ("allocate-steps,allocate-steps", "set apart once"),
        ("quantize-weights,allocate-steps", "quantised already; run this before quantize-weights"),
        (SPIKES, "no channels are set apart"),
        ("allocate-steps,insert-encoders{code=gif:16:1,salient=gif:8:2:true}", "does not suit the asymmetric grid"),
    ],
)
def test_what_cannot_be_is_refused(pipeline: str, reason: str) -> None:
    program, store, ids = decoder(1)
    with pytest.raises(PassError, match=reason):
        rewritten(program, store, ids, pipeline)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("spikellm{T=3}", "T=3 is none of"),
        ("spikellm{pipeline=awq}", "pipeline=awq is none of"),
        ("spikellm{activations=12}", "activations=12"),
        ("spikellm{activations=16,group=0}", "in whole groups"),
        ("spikellm{bits=4}", "no option 'bits'"),
        ("sdllm{T=2}", "has no options"),
        ("spikellm{T=2},sdllm", "more than one"),
    ],
)
def test_wrong_recipes_are_refused(text: str, reason: str) -> None:
    with pytest.raises(PassError, match=reason):
        recipe(text)
