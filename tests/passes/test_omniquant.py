"""OmniQuant: learned clipping and scales bring a block nearer to its float outputs, and stop and go on alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.compiler.recipes import parse_pipeline, recipe
from sdllm.ir import GridWeight, Program, Rewriter, Store, print_program
from sdllm.ir.interpreter import Interpreter
from sdllm.passes import Context, PassError, run_pipeline
from sdllm.passes.blocks import blocks
from sdllm.passes.equivalent import balances, sources

from .models import HEAD, HIDDEN, SHARED, WIDTH, decoder

TINY = "quantize-weights{method=omniquant,preset=tiny,epochs=%d,bits=%d,group=8,minimum=true%s}"


Model = tuple[Program, Store]


def logits(model: Model, ids: np.ndarray, **choices: bool) -> torch.Tensor:
    return Interpreter(*model, **choices).run({"ids": torch.from_numpy(ids)})["logits"]


def error(model: Model, after: Model, ids: np.ndarray) -> float:
    exact = logits(model, ids)
    return float((logits(after, ids) - exact).norm() / exact.norm())


def divergence(model: Model, after: Model, ids: np.ndarray) -> float:
    """KL from the model, which an outlier that makes logits large does not hide."""
    exact, got = (logits(m, ids).log_softmax(-1) for m in (model, after))
    return float((exact.exp() * (exact - got)).sum(-1).mean())


def quantised(model: Model, ids: np.ndarray, pipeline: str, keep: Path | None = None) -> Model:
    program, store = model[0], model[1].copy()
    return run_pipeline(program, parse_pipeline(pipeline), Context(store, ids, keep=keep)), store


def test_a_block_is_a_layer() -> None:
    program, _, _ = decoder(3)
    before, chain = blocks(program)
    assert [op.name for op in before] == ["nn.embed"]
    assert [sum(op.name == "nn.linear" for op in block.ops) for block in chain] == [7, 7, 7]
    assert [a.leaves for a in chain[:-1]] == [b.enters for b in chain[1:]]


@pytest.mark.parametrize("minimum", ["true", "false"])
def test_learned_clipping_beats_rounding(minimum: str) -> None:
    *model, ids = decoder()
    options = f"bits=3,group=8,minimum={minimum}"
    rounded = quantised(model, ids, f"quantize-weights{{{options},search=false}}")
    learned = quantised(model, ids, f"quantize-weights{{method=omniquant,preset=tiny,epochs=15,lwc_lr=0.05,{options}}}")
    assert error(model, learned, ids) < 0.9 * error(model, rounded, ids)
    assert {type(w.type) for n, w in learned[0].weights.items() if n.endswith(("q.weight", "down.weight"))} == {
        GridWeight
    }


def test_scales_between_layers_alone_change_nothing() -> None:
    """At 7 bits and no learning to speak of, an outlier channel's scale moves from norm to matrix, and outputs stay."""
    *model, ids = decoder(outlier=30.0)
    after = quantised(model, ids, TINY % (1, 7, ",activations=8,lwc_lr=1e-9,let_lr=1e-9"))
    assert error(model, after, ids) < 0.05
    gains = [store.floats(p.weights["layers.0.norm2"]) for p, store in (model, after)]
    assert np.abs(gains[0] / gains[1] - 1).max() > 0.5


@pytest.mark.parametrize("before", ["", "allocate-steps{share=0.2},"])
def test_scales_move_out_of_norms_values_and_gated_layers(before: str) -> None:
    """Values are shared by two heads each; channels set apart, of layers and of heads, are followed."""
    program, store, ids = decoder(1)
    program = run_pipeline(program, parse_pipeline(before.rstrip(",")), Context(store, ids))
    _, (block,) = blocks(program)
    linears = [op for op in block.ops if op.name == "nn.linear"]
    found = {source.loc.module: order for source, order in sources(program, block, linears).values()}
    assert set(found) == {"layers.0.norm1", "layers.0.v", "layers.0.norm2", "layers.0.up"}
    assert [len(set(order)) for order in found.values()] == [WIDTH, SHARED * HEAD, WIDTH, HIDDEN]
    if not before:
        assert found["layers.0.v"] == [*range(HEAD)] * 2 + [*range(HEAD, 2 * HEAD)] * 2
    options = ",activations=8,attention=8,lwc_lr=1e-9,let_lr=1e-9,alpha=0.9"
    after = quantised((program, store), ids, f"{TINY % (1, 7, options)}")
    assert error((program, store), after, ids) < 0.05


@pytest.mark.parametrize("before", ["", "allocate-steps{share=0.2},"])
def test_keys_and_queries_trade_scales(before: str) -> None:
    """Whatever they are: pairs that positions turn share one, or scores would change."""
    program, store, ids = decoder(1)
    after = run_pipeline(program, parse_pipeline(before.rstrip(",")), Context(store, ids))
    _, (block,) = blocks(after)
    (balance,) = balances(after, block, [op for op in block.ops if op.name == "nn.linear"])
    assert balance.log.shape == (SHARED * HEAD // 2,)
    balance.log = torch.from_numpy(np.random.default_rng(0).normal(size=len(balance.log))).float()
    rewriter = Rewriter(after)
    for op in after.ops:
        factor = balance.factor(op)
        if factor is None:
            rewriter.keep(op)
            continue
        for index in range(2):
            of = store.floats(rewriter.weights[op.weights[index]])
            rewriter.set_weight(
                store.put_float(op.weights[index], of * factor.numpy().reshape(-1, *[1] * (of.ndim - 1)))
            )
        rewriter.keep(op)
    scaled = rewriter.done()
    assert {n for n in scaled.weights if scaled.weights[n] != after.weights[n]} == {
        f"layers.0.{m}.{part}" for m in "qk" for part in ("weight", "bias")
    }
    torch.testing.assert_close(logits((scaled, store), ids), logits((program, store), ids), rtol=1e-4, atol=1e-4)


def test_scales_help_activations_with_outliers() -> None:
    *model, ids = decoder(outlier=30.0)
    encoders = "insert-encoders{code=gif:16:1,attention=false}"
    found = [
        quantised(model, ids, f"{TINY % (8, 4, options)},{encoders}") for options in ("", ",activations=4,let_lr=0.01")
    ]
    without, scaled = (divergence(model, after, ids) for after in found)
    assert scaled < 0.6 * without


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    """The same bytes, whether learned in one go or stopped after any block; what is there is not learned again."""
    *model, ids = decoder()
    pipeline = TINY % (2, 3, ",activations=4")
    whole = print_program(quantised(model, ids, pipeline)[0])
    assert print_program(quantised(model, ids, pipeline, tmp_path)[0]) == whole
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    files[1].unlink()
    kept = files[0].stat().st_mtime_ns
    assert print_program(quantised(model, ids, pipeline, tmp_path)[0]) == whole
    assert files[0].stat().st_mtime_ns == kept
    assert files[1].exists()


def test_the_recipe_runs() -> None:
    *model, ids = decoder(1, outlier=10.0)
    after = quantised(model, ids, recipe("spikellm{pipeline=omniquant,preset=tiny,group=8}").pipeline)
    assert {op.attrs["grid"] for op in after[0].ops if op.name == "spike.encode"} == {"asymmetric", "symmetric"}
    assert torch.equal(logits(after, ids), logits(after, ids, in_time=True))


def test_salient_weights_are_learned_with_their_steps() -> None:
    """Clipping is learned on the grid that channels set apart have, and brings the block nearer than one step would."""
    *model, ids = decoder(1, outlier=10.0)
    text = "spikellm{pipeline=omniquant,preset=tiny,weights=2,activations=16,group=8,T=%d}"
    plain, spiking = (quantised(model, ids, recipe(text % steps).pipeline) for steps in (1, 4))
    of = spiking[0].weights["layers.0.gate.weight"].type
    assert isinstance(of, GridWeight)
    assert of.ranges == ((0, 8, 0, 12), (8, WIDTH, 0, 3))
    assert spiking[1].get(spiking[0].weights["layers.0.gate.weight"])["codes"][:, :8].max() > 3
    assert divergence(model, spiking, ids) < 0.8 * divergence(model, plain, ids)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("preset=day", "preset=day"),
        ("alpha=2.0", "alpha"),
        ("epochs=-1", "epochs"),
        ("attention=1", "attention"),
        ("activations=9", "activations"),
    ],
)
def test_wrong_options_are_refused(options: str, reason: str) -> None:
    *model, ids = decoder(1)
    with pytest.raises(PassError, match=reason):
        quantised(model, ids, f"quantize-weights{{method=omniquant,{options}}}")
