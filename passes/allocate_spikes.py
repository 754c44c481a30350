"""allocate-spikes: a budget of additions for the whole model, spent where a spike buys the most likeness."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ir import Code, Membrane, Op, Program, Rewriter, print_program
from .base import Context, Pass, PassError
from .calibrate import Bench, consumers, sample_inputs
from .named import named_code
from .sensitivity import sensitivities


@dataclass(frozen=True)
class AllocateSpikes(Pass):
    """Threshold, price and code of each linear layer's encoder, so that the whole keeps to `additions` a weight.

    Encoder by encoder, the loss of likeness (KL from the model without spikes) is measured for its present setting,
    and taken to grow with the output error γ for others: `factors` (times its threshold), `prices` and further
    `codes`, lists joined by +. Losses of encoders add up, so the best choice for a budget is a knapsack, solved by one
    exchange rate between nats and additions. additions are those of spikes and of membrane updates over all
    multiply-adds of spiked linear layers. A budget below what the cheapest settings need is refused; with
    strict=false those are taken. (Ours.)
    """

    name = "allocate-spikes"
    additions: float = 1.0
    codes: str = ""
    factors: str = "1.6+1.3+1+0.8+0.65+0.5"
    prices: str = "0.1+0.3+0.6+1+1.5+2.5+4"
    rows: int = 192
    sequences: int = 4
    strict: bool = True

    def apply(self, program: Program, ctx: Context) -> Program:
        encoders = [op for op in program.ops if _settable(program, op)]
        if not encoders:
            raise PassError("no linear layer has an encoder with one code on the symmetric grid; insert encoders first")
        if not self.additions > 0 or self.rows < 1 or self.sequences < 1:
            raise PassError("additions, rows and sequences must be more than 0")
        offers = self._measured(program, ctx, encoders)
        macs = sum(_macs(program, op) for op in encoders)
        chosen = _within([offers[op.result.name] for op in encoders], self.additions * macs)
        if chosen is None:
            chosen = [min(offers[op.result.name], key=lambda o: o.additions) for op in encoders]
            if self.strict:
                least = sum(o.additions for o in chosen) / macs
                raise PassError(f"additions={self.additions:g}: the cheapest settings need {least:.3f}")
        rewriter = Rewriter(program)
        settings = {op.result.name: offer for op, offer in zip(encoders, chosen, strict=True)}
        for op in program.ops:
            offer = settings.get(op.result.name)
            rewriter.keep(op, **(offer.attrs if offer else {}))
            if offer:
                ctx.note(op.loc.module, str(offer))
        spent, loss = sum(o.additions for o in chosen) / macs, sum(o.loss for o in chosen)
        over = f", more than the {self.additions:g} asked for" if spent > self.additions else ""
        ctx.note("", f"allocate-spikes: {spent:.3f} additions a weight{over}, {loss:.4f} nats expected")
        return rewriter.done()

    def _measured(self, program: Program, ctx: Context, encoders: list[Op]) -> dict[str, list[Offer]]:
        """Every setting of every encoder; kept in the context, since budgets are tried one after the other."""
        text = f"{print_program(program)}{self.codes}{self.factors}{self.prices}{self.rows}{self.sequences}"
        key = hashlib.sha256(text.encode() + ctx.tokens().tobytes()).hexdigest()
        if key not in ctx.memo:
            losses = sensitivities(program, ctx, encoders, self.sequences)
            inputs = sample_inputs(program, ctx, encoders, self.rows)
            found = {}
            for index, op in enumerate(encoders):
                ctx.progress(index, len(encoders), "settings tried")
                bench = Bench(op, inputs[op.result.name], consumers(program, ctx, op))
                found[op.result.name] = self._offers(program, op, bench, losses[op.result.name])
            ctx.memo[key] = found
        offers: dict[str, list[Offer]] = ctx.memo[key]
        return offers

    def _offers(self, program: Program, op: Op, bench: Bench, loss: float) -> list[Offer]:
        present = bench.try_out().gamma
        codes = [op.attrs["code"], *(named_code(text) for text in self.codes.split("+") if text)]
        made = []
        for code in codes:
            for factor in _numbers("factors", self.factors):
                for price in _numbers("prices", self.prices):
                    attrs = {"code": code, "factor": round(op.attrs["factor"] * factor, 6), "price": price}
                    trial = bench.try_out(**attrs)
                    spikes = trial.spikes * _macs(program, op) + _updates(program, op, code)
                    made.append(Offer(attrs, loss * trial.gamma / present if present else 0.0, spikes))
        return made


@dataclass(frozen=True, slots=True)
class Offer:
    """A setting of one encoder: its share of the model's loss of likeness (nats a token), and its additions a token."""

    attrs: Mapping[str, Any]
    loss: float
    additions: float

    def __str__(self) -> str:
        how = ", ".join(f"{k}={v}" for k, v in self.attrs.items())
        return f"{how}: {self.loss:.6f} nats expected, {self.additions:.0f} additions a token"


def _settable(program: Program, op: Op) -> bool:
    return (
        op.name == "spike.encode"
        and isinstance(op.attrs["code"], Code)
        and op.attrs["code"].lo < 0
        and op.attrs["grid"] == "symmetric"
        and any(u.name == "spike.linear" for u in program.users()[op.result.name])
    )


def _linears(program: Program, op: Op) -> list[Op]:
    return [u for u in program.users()[op.result.name] if u.name == "spike.linear"]


def _macs(program: Program, op: Op) -> int:
    """Multiply-adds a token of the linears that read an encoder."""
    return sum(math.prod(program.weights[u.weights[0]].type.shape) for u in _linears(program, op))


def _updates(program: Program, op: Op, code: Code) -> int:
    """Membrane updates a token: doublings and ramps of every plane of every output."""
    cells = 0
    for linear in _linears(program, op):
        of = linear.result.type
        assert isinstance(of, Membrane)
        cells += of.planes * program.weights[linear.weights[0]].type.shape[0]
    return cells * (sum(code.doublings) + sum(code.ramps))


def _within(offers: Sequence[Sequence[Offer]], budget: float) -> list[Offer] | None:
    """The choice of least loss whose additions keep to the budget, on the convex hull; None if there is none."""

    def at(rate: float) -> list[Offer]:
        return [min(each, key=lambda o: o.loss + rate * o.additions) for each in offers]

    def cost(choice: list[Offer]) -> float:
        return sum(o.additions for o in choice)

    if cost(best := at(0.0)) <= budget:
        return best
    low, high = 0.0, 1e-12
    while cost(best := at(high)) > budget:
        low, high = high, high * 4
        if high > 1e12:
            return None
    for _ in range(60):
        rate = (low + high) / 2
        if cost(tried := at(rate)) > budget:
            low = rate
        else:
            high, best = rate, tried
    return best


def _numbers(name: str, text: str) -> list[float]:
    """Numbers joined by +. Raises PassError."""
    try:
        found = [float(part) for part in text.split("+")]
    except ValueError as error:
        raise PassError(f"{name}={text}: is no list of numbers joined by +") from error
    if not all(0 <= number < math.inf for number in found):
        raise PassError(f"{name}={text}: numbers must be finite and not negative")
    return found
