"""Tune: the pipeline that keeps to a user's budget and gives the most for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import InputError
from .trials import Outcome, Trials

_SHORT = 0.97  # of the way to where a straight line meets the budget
_CLOSE = 0.02  # of the budget left: good enough


@dataclass(frozen=True, slots=True)
class Family:
    """Pipelines with one knob: the additions a weight that allocate-spikes may spend, least to most."""

    name: str
    steps: int
    encoders: str
    least: float
    most: float

    def pipeline(self, additions: float, bits: int) -> str:
        """The pipeline at so many additions a weight, on weights of so many bits."""
        weights = f"quantize-weights{{bits={bits},group=32,rows=true}}"
        return f"{weights},{self.encoders},allocate-spikes{{additions={additions:.4g},strict=false}}"


def _mean(code: str, factor: float) -> str:
    return (
        f"insert-encoders{{code={code},threshold=mean,factor={factor:g},overflow=widen,price=0.5,attention_code=csd:7}}"
    )


FAMILIES = (
    Family("signed digits", 12, _mean("csd:12", 0.33), 0.6, 2.0),
    Family("digit-ramp, 16 steps", 16, _mean("digit_ramp:6:4:10", 0.25), 0.6, 1.6),
    Family("digit-ramp, 40 steps", 40, _mean("digit_ramp:8:6:32", 0.15), 0.6, 1.6),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """A budget, in one measure; what it leaves free is made as good as it can be.

    measure is "increase" (of perplexity over the source's, 0.05 for 5 %), "additions" (a weight, all included) or
    "energy" (joules a token, by the rule of integers).
    """

    measure: str
    most: float

    def spent(self, found: Outcome, source: Outcome) -> float:
        """What an outcome spends of it."""
        assert found.cost is not None
        if self.measure == "increase":
            return found.perplexity / source.perplexity - 1
        return found.cost.additions if self.measure == "additions" else found.cost.joules["integers"]

    def rank(self, found: Outcome) -> float:
        """The lower the better, among those that keep to it."""
        assert found.cost is not None
        return found.cost.additions if self.measure == "increase" else found.perplexity


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial of a search."""

    family: str
    additions: float
    outcome: Outcome
    kept: bool


Tell = Callable[[Tried], None]


def tune(
    trials: Trials, goal: Goal, *, bits: int = 4, max_steps: int = 0, rounds: int = 3, tell: Tell = lambda tried: None
) -> list[Tried]:
    """Search every family of at most `max_steps` time steps (0: any); gives all trials, the best first.

    More additions cost more energy and give less perplexity, so there is one place where a family meets the budget:
    two trials at the ends of its range and up to `rounds` within close in on it. Raises InputError if no family has so
    few steps, or none keeps to the budget.
    """
    families = [f for f in FAMILIES if not max_steps or f.steps <= max_steps]
    if not families:
        raise InputError(f"--max-steps {max_steps}: the fewest are {min(f.steps for f in FAMILIES)}")
    source = trials.source()
    found: list[Tried] = []

    def room(family: Family, additions: float) -> tuple[float, float]:
        """The additions that a trial was allowed, or took if it found no use for more; and what it leaves of the
        budget, as a share of it, negative where it does not keep to it."""
        outcome = trials.outcome(family.pipeline(additions, bits))
        left = 1 - goal.spent(outcome, source) / goal.most
        found.append(Tried(family.name, additions, outcome, left >= 0))
        tell(found[-1])
        return min(additions, _additions(found[-1])), left

    for family in families:
        ends = (family.most, family.least) if goal.measure == "increase" else (family.least, family.most)
        _close_in(ends, rounds, partial(room, family))
    best = sorted(found, key=lambda t: (not t.kept, goal.rank(t.outcome) if t.kept else goal.spent(t.outcome, source)))
    if not best[0].kept:
        nearest = goal.spent(best[0].outcome, source)
        raise InputError(
            f"no pipeline tried keeps to {goal.measure} {goal.most:g}; the nearest has {nearest:.4g}; "
            f"allow more, or try --weight-bits above {bits}"
        )
    return best


def _close_in(ends: tuple[float, float], rounds: int, room: Callable[[float], tuple[float, float]]) -> None:
    """Interpolate between additions that keep to the budget and additions that do not, just short of where it ends."""
    good, left = room(ends[0])
    if left < 0:
        return
    bad, over = room(ends[1])
    if over >= 0:
        return
    for _ in range(rounds):
        share = min(max(_SHORT * left / (left - over), 0.1), 0.9)
        middle = good + share * (bad - good)
        middle, found = room(middle)
        if found >= 0:
            good, left = middle, found
            if found < _CLOSE:
                return
        else:
            bad, over = middle, found


def frontier(tried: Sequence[Tried]) -> list[Tried]:
    """Those that no other beats in both perplexity and additions, cheapest first."""
    kept: list[Tried] = []
    for one in sorted(tried, key=lambda t: (_additions(t), t.outcome.perplexity)):
        if not kept or one.outcome.perplexity < kept[-1].outcome.perplexity:
            kept.append(one)
    return kept


def _additions(tried: Tried) -> float:
    assert tried.outcome.cost is not None
    return tried.outcome.cost.additions
