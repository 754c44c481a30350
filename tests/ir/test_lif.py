"""A block like BiSpikCLM's can be said in the language, and decodes token by token as it prefills, spike for spike."""

from __future__ import annotations

import pytest
import torch
from sdllm.ir import (
    FixedWeight,
    FloatWeight,
    Loc,
    Program,
    Tensor,
    Train,
    Value,
    parse_program,
    print_program,
    verify,
)
from sdllm.ir.interpreter import Interpreter

from .samples import World

HEADS, DIM, WIDTH, STEPS, VOCABULARY = 2, 4, 8, 4, 11
FRAC, BETA, THRESHOLD = 12, 230, 2867  # 0.9 in 256ths, 0.7 in 4096ths


class Block(World):
    """SFSA and SFFN over a float residual stream, a float head at the end."""

    def fire(self, current: Value, threshold: int = THRESHOLD) -> Value:
        return self.one("lif.fire", current, beta=BETA, threshold=threshold, loc=self.at)

    def fc(self, train: Value, out: int) -> Value:
        parts = [FixedWeight(FRAC, (out, train.type.shape[-1])), FixedWeight(FRAC, (out,))]
        return self.one("lif.linear", train, weights=[self.parameter(p) for p in parts], loc=self.at)

    def neurons(self, x: Value) -> Value:
        return self.fire(self.one("lif.current", x, T=STEPS, frac=FRAC, loc=self.at))

    def heads(self, train: Value) -> Value:
        return self.one("lif.reshape", train, shape=("B", "S", HEADS, DIM), axes=(0, 2, 1, 3), loc=self.at)

    def cached(self, name: str, train: Value) -> Value:
        kept = self.state(f"{name}.0", Train(STEPS, ("B", HEADS, "P", DIM)))
        return self.one("state.append", train, state=kept, axis=2, loc=self.at)

    def attention(self, x: Value, mask: Value) -> Value:
        s = self.neurons(x)
        q, k, v = (self.heads(self.fire(self.fc(s, WIDTH))) for _ in range(3))
        a = self.fire(self.one("lif.coincide", q, self.cached("k", k), mask, loc=self.at), threshold=1)
        av = self.fire(self.one("lif.gather", a, self.cached("v", v), loc=self.at), threshold=1)
        turned = self.one("lif.reshape", av, shape=av.type.shape, axes=(0, 2, 1, 3), loc=self.at)
        joined = self.one("lif.reshape", turned, shape=("B", "S", WIDTH), loc=self.at)
        return self.one("lif.mean", self.fire(self.fc(joined, WIDTH)), loc=self.at)

    def whole(self) -> Program:
        self.at = Loc("model.embed_tokens")
        mask = self.input("mask", Tensor("i64", ("B", "P+S")))
        x = self.one("nn.embed", self.inputs[0], weights=[self.parameter(FloatWeight((VOCABULARY, WIDTH)))])
        self.at = Loc("model.layers.0.attention", ("modeling.py:1",))
        x = self.one("nn.add", x, self.attention(x, mask), loc=self.at)
        self.at = Loc("model.layers.0.ffn", ("modeling.py:2",))
        y = self.fire(self.fc(self.fire(self.fc(self.neurons(x), 16)), WIDTH))
        x = self.one("nn.add", x, self.one("lif.mean", y, loc=self.at), loc=self.at)
        norm = [self.parameter(FloatWeight((WIDTH,))) for _ in range(2)]
        x = self.one("nn.layer_norm", x, weights=norm, eps=1e-5, loc=Loc("model.norm"))
        logits = self.one("nn.linear", x, weights=[self.parameter(FloatWeight((VOCABULARY, WIDTH)))], loc=Loc("head"))
        return self.program({"logits": logits}, {"family": "bispikclm"})


@pytest.fixture(scope="module")
def block() -> tuple[Program, Block]:
    world = Block()
    return verify(world.whole()), world


IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5, 8, 9, 7]])


def trains(run: Interpreter, inputs: dict, state=None) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Every train a call fires, by value name, time first and tokens second last but one."""
    fired: dict[str, torch.Tensor] = {}

    def watch(op, operands, results) -> None:
        if op.name == "lif.fire":
            fired[op.result.name] = results[0]

    logits = run.run(inputs, state, watch=watch)["logits"]
    return fired, logits


def test_it_reads_back(block) -> None:
    program, _ = block
    assert verify(parse_program(print_program(program))) == program


def test_neurons_neither_sleep_nor_always_fire(block) -> None:
    """Otherwise the tests below would compare constants."""
    program, world = block
    fired, _ = trains(Interpreter(program, world.store), {"ids": IDS})
    rates = {name: s.float().mean().item() for name, s in fired.items()}
    assert len(rates) == 10
    assert sum(0.02 < r < 0.98 for r in rates.values()) >= 8, rates


@pytest.mark.parametrize("chunks", [[1] * 7, [4, 1, 1, 1], [2, 5]], ids=str)
def test_decode_is_prefill_spike_for_spike(block, chunks: list[int]) -> None:
    program, world = block
    run = Interpreter(program, world.store)
    whole, logits = trains(run, {"ids": IDS})
    state, start = run.new_state(2), 0
    for size in chunks:
        stop = start + size
        fired, some = trains(run, {"ids": IDS[:, start:stop]}, state)
        for name, train in fired.items():
            tokens = whole[name].dim() - 2
            part = whole[name].narrow(tokens, start, size)
            if part.shape[-1] == IDS.shape[1]:  # attention maps: the keys so far
                assert not part[..., stop:].any()
                part = part[..., :stop]
            assert torch.equal(train, part), name
        assert torch.allclose(some, logits[:, start:stop], atol=1e-5)
        start = stop
    assert state.past == 7
    assert state.arrays["k.0"].shape == (STEPS, 2, HEADS, 7, DIM)


def test_membranes_do_not_outlive_a_token(block) -> None:
    """Without attention's past, a token's spikes depend on that token alone: in FFN and projections of layer 0."""
    program, world = block
    run = Interpreter(program, world.store)
    forward, _ = trains(run, {"ids": IDS})
    backward, _ = trains(run, {"ids": IDS.flip(1)})
    first = list(forward)[:4]  # the block's input, q, k and v stand before attention
    for name in first:
        assert torch.equal(forward[name], backward[name].flip(2)), name


def test_padding_on_the_left_changes_nothing(block) -> None:
    program, world = block
    run = Interpreter(program, world.store)
    _, logits = trains(run, {"ids": IDS[:, 2:]})
    _, padded = trains(run, {"ids": IDS, "mask": torch.tensor([[0, 0, 1, 1, 1, 1, 1]] * 2)})
    assert torch.allclose(padded[:, 2:], logits, atol=1e-5)


def test_counts_and_time_are_one_domain_here(block) -> None:
    program, world = block
    a, _ = trains(Interpreter(program, world.store), {"ids": IDS})
    b, _ = trains(Interpreter(program, world.store, in_time=True), {"ids": IDS})
    assert all(torch.equal(a[k], b[k]) for k in a)
