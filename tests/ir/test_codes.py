"""Laws of the spike codes: round trip, driving a membrane, spike and step counts, text form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sdllm.ir import CODES, CSD, GIF, Binary, Bits, DigitRamp, IRError, Ramp, SignedBits, Ternary, parse_code
from sdllm.ir.interpreter.spikes import run_train

ALL = (
    *(c(T) for c in (Binary, Ternary) for T in (1, 2, 7, 15, 31)),
    *(c(T) for c in (Bits, SignedBits, CSD) for T in (1, 2, 3, 5, 8, 12, 14)),
    *(GIF(L, T, s) for L in (2, 3, 16, 128, 256) for T in (1, 2, 5) for s in (False, True)),
    *(Ramp(b, d) for b, d in ((2, 1), (2, 6), (4, 1), (4, 3), (8, 2), (16, 2), (64, 2))),
    *(DigitRamp(*x) for x in ((1, 1, 1), (2, 3, 4), (3, 2, 5), (6, 4, 10), (4, 1, 12), (7, 6, 40))),
)
WIDE = (Bits(30), SignedBits(30), CSD(30), Ramp(2, 30), Ramp(8, 10))
every = pytest.mark.parametrize("code", ALL, ids=str)


def span(code) -> np.ndarray:
    """All counts of a code, or many of them."""
    n = np.arange(code.lo, code.hi + 1) if code.hi < 4000 else np.linspace(code.lo, code.hi, 4001).round()
    return n.astype(np.int64)


def integrate(code, train: np.ndarray) -> list[int]:
    """The membrane that a train drives, in plain Python: additions only, doubling is adding to itself."""
    membranes = []
    for spikes in train.reshape(code.steps, -1).T.tolist():
        membrane = slope = 0
        for s, doublings, ramp in zip(spikes, code.doublings, code.ramps, strict=True):
            for _ in range(doublings):
                membrane, slope = membrane + membrane, 0
            for _ in range(abs(s)):
                if ramp:
                    slope += 1 if s > 0 else -1
                else:
                    membrane += 1 if s > 0 else -1
            membrane += slope if ramp else 0
        membranes.append(membrane)
    return membranes


def test_every_code_is_tried() -> None:
    assert {type(c) for c in ALL} == set(CODES.values())
    assert all(cls.name == name for name, cls in CODES.items())


@pytest.mark.parametrize("code", [*ALL, *WIDE], ids=str)
def test_decode_inverts_encode(code) -> None:
    n = span(code)
    assert np.array_equal(code.decode(code.encode(n)), n)


@every
def test_shape_and_steps(code) -> None:
    n = span(code)[:6].reshape(2, -1) if len(span(code)) >= 6 else span(code)[:2].reshape(2, 1)
    train = code.encode(n)
    assert train.dtype == (np.int8 if code.level < 128 else np.int16)
    assert train.shape == (code.steps, *n.shape)
    assert len(code.doublings) == len(code.weights) == code.steps
    assert np.array_equal(code.decode(train), n)
    assert code.encode(n[0, 0]).shape == (code.steps,)


@pytest.mark.parametrize("code", [*ALL, *WIDE], ids=str)
def test_counts_beyond_the_range_are_clamped(code) -> None:
    beyond = np.array([code.lo - 1, code.lo - 10**6, code.hi + 1, code.hi + 10**6])
    assert code.decode(code.encode(beyond)).tolist() == [code.lo, code.lo, code.hi, code.hi]
    assert code.spikes(beyond).tolist() == code.spikes(np.array([code.lo, code.lo, code.hi, code.hi])).tolist()


@every
def test_the_membrane_integrates_to_the_count(code) -> None:
    n = span(code)
    assert integrate(code, code.encode(n)) == n.tolist()


@every
def test_the_interpreter_drives_the_same_membrane(code) -> None:
    n = torch.from_numpy(span(code))
    driven = run_train(code, n, lambda spikes, sign: sign * spikes.to(torch.int64), torch.zeros_like(n))
    assert torch.equal(driven, n)


@every
def test_spikes_counts_the_additions(code) -> None:
    n = span(code)
    train = code.encode(n).astype(int)
    assert np.array_equal(code.spikes(n), np.abs(train).sum(axis=0))
    assert np.abs(train).max() == code.level


@every
def test_the_sign_is_the_counts(code) -> None:
    if code.lo < 0:
        n = span(code)
        assert np.array_equal(code.encode(-n), -code.encode(n))
    else:
        assert (code.encode(span(code)) >= 0).all()


@pytest.mark.parametrize("steps", range(1, 9))
def test_csd_has_the_fewest_digits_and_no_neighbours(steps: int) -> None:
    fewest: dict[int, int] = {}
    for digits in itertools.product((-1, 0, 1), repeat=steps):
        value = sum(d * 2 ** (steps - 1 - t) for t, d in enumerate(digits))
        fewest[value] = min(fewest.get(value, steps), sum(map(abs, digits)))
    code = CSD(steps)
    n = span(code)
    assert code.spikes(n).tolist() == [fewest[v] for v in n.tolist()]
    train = code.encode(n)
    assert not (train[1:] & train[:-1] & 1).any()
    no_neighbours = [
        sum(d * 2 ** (steps - 1 - t) for t, d in enumerate(digits))
        for digits in itertools.product((-1, 0, 1), repeat=steps)
        if not any(a and b for a, b in itertools.pairwise(digits))
    ]
    assert (code.lo, code.hi) == (min(no_neighbours), max(no_neighbours))


@pytest.mark.parametrize(
    ("code", "steps", "lo", "hi"),
    [
        (Binary(15), 15, 0, 15),
        (Ternary(7), 7, -7, 7),
        (Bits(4), 4, 0, 15),
        (SignedBits(3), 3, -7, 7),
        (CSD(12), 12, -2730, 2730),
        (GIF(16, 2), 2, 0, 30),
        (GIF(16, 2, True), 2, -30, 30),
        (Ramp(64, 2), 126, -4095, 4095),
    ],
    ids=str,
)
def test_steps_and_range(code, steps: int, lo: int, hi: int) -> None:
    assert (code.steps, code.lo, code.hi) == (steps, lo, hi)


def test_gif_fires_as_published() -> None:
    """Each step fires L-1 where the membrane reaches L, else the membrane, and subtracts it."""
    levels, steps = 16, 3
    for n in range(steps * (levels - 1) + 1):
        membrane, train = n, []
        for _ in range(steps):
            train.append(levels - 1 if membrane >= levels else membrane)
            membrane -= train[-1]
        assert GIF(levels, steps).encode(np.array(n)).tolist() == train


def test_ternary_is_the_neuron_of_sdllm() -> None:
    """s[t] = sign(v[t]), v[t+1] = v[t] - s[t]."""
    for n in range(-7, 8):
        v, train = n, []
        for _ in range(7):
            train.append((v > 0) - (v < 0))
            v -= train[-1]
        assert Ternary(7).encode(np.array(n)).tolist() == train


def test_halving_the_steps() -> None:
    """Binary T = 15 over the offset grid is ternary T = 7 with n = q - 8, but q = 0 becomes -7."""
    q = np.arange(16)
    offset = Binary(15).decode(Binary(15).encode(q)) - 8
    halved = Ternary(7).decode(Ternary(7).encode(q - 8))
    assert np.array_equal(halved[1:], offset[1:])
    assert (offset[0], halved[0]) == (-8, -7)
    assert Ternary(7).steps == 7
    assert Binary(15).steps == 15


@pytest.mark.parametrize("code", [*ALL, *WIDE], ids=str)
def test_text_form(code) -> None:
    assert parse_code(str(code)) == code


def test_text_form_is_forgiving_about_spaces_and_defaults() -> None:
    assert parse_code(" gif{L=16,T=2, signed=false} ") == GIF(16, 2)
    assert parse_code("ramp{digits=2, base=64}") == Ramp(64, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("morse{T=3}", "no spike code"),
        ("ternary", "no spike code"),
        ("ternary{T=7}x", "no spike code"),
        ("ternary{}", "fields of ternary are T"),
        ("ternary{T}", "T is not an integer"),
        ("ternary{T=7, T=8}", "given twice"),
        ("ternary{T=true}", "T is not an integer"),
        ("ternary{T=7.0}", "T is not an integer"),
        ("ternary{steps=7}", "fields of ternary are T"),
        ("ternary{T=0}", "T must be at least 1"),
        ("binary{T=-3}", "T must be at least 1"),
        ("csd{T=31}", "T must be 1 to 30"),
        ("bits{T=0}", "T must be 1 to 30"),
        ("gif{L=1, T=2}", "L must be 2 to 256"),
        ("gif{L=257, T=2}", "L must be 2 to 256"),
        ("gif{L=16, T=0}", "T at least 1"),
        ("gif{L=16, T=2, signed=1}", "signed is true or false"),
        ("ramp{base=6, digits=2}", "power of two"),
        ("digit_ramp{high=4, shift=4, low=7}", "counts are left out"),
        ("digit_ramp{high=13, shift=4, low=9}", "high must be 1 to 12"),
        ("ramp{base=1, digits=2}", "power of two"),
        ("ramp{base=4, digits=0}", "digits at least 1"),
        ("ramp{base=64, digits=6}", "more than 30 bits"),
        ("ramp{base=2, digits=1000000000}", "more than 30 bits"),
    ],
)
def test_bad_parameters_are_refused(text: str, says: str) -> None:
    with pytest.raises(IRError, match=says):
        parse_code(text)


@pytest.mark.parametrize("code", [DigitRamp(3, 3, 6), DigitRamp(4, 2, 9)], ids=str)
def test_digit_ramp_splits_with_the_fewest_spikes(code: DigitRamp) -> None:
    unit, digits = 2**code.shift, CSD(code.high)
    for n in range(code.hi + 1):
        ways = [
            int(digits.spikes(np.array(h))) + (n != h * unit)
            for h in range(digits.hi + 1)
            if abs(n - h * unit) <= code.low
        ]
        assert int(code.spikes(np.array(n))) == min(ways)


@pytest.mark.parametrize("price", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("code", [CSD(5), Ternary(9), DigitRamp(3, 3, 6), SignedBits(4)], ids=str)
def test_priced_counts_are_the_best_there_are(code, price: float) -> None:
    """Against all counts in turn, on a grid of inputs beyond the range as well."""
    top = code.hi - 2
    edges, counts = code.priced(top, price)
    assert (np.diff(edges) > 0).all()
    assert (np.diff(counts) > 0).all()
    u = np.linspace(-code.hi - 3, code.hi + 3, 1501)
    every_count = np.arange(-top, top + 1)
    losses = (every_count - u[:, None]) ** 2 + price * code.spikes(every_count)
    chosen = counts[np.searchsorted(edges, u.astype(np.float32))].astype(np.int64)
    loss = (chosen - u) ** 2 + price * code.spikes(chosen)
    np.testing.assert_allclose(loss, losses.min(axis=1), atol=1e-4)
