"""The tests. Each is a function of the fixture `backend`, which whoever runs them provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from ...ir import CODES, Code, Program, Store
from ..interface import Backend, Runner
from ..mapping import LEFT_OUT, MAP, read_map, reading
from . import plugin
from .bench import Bench, Call, assert_agrees, assert_counts, assert_follows, files, play, short
from .families import FAMILIES, Family, tiny_model
from .ops import PARTS
from .parts import SIGNED, UNSIGNED, Part, code_parts
from .probe import ROWS, Probe, with_op
from .toy import VOCABULARY

Tell = Callable[[str, str], dict[str, Any]]
LENGTHS = (1, 2, 17, 64, 65, 300)

_benches: dict[Any, Bench] = {}


@pytest.fixture
def options() -> Mapping[str, str]:
    """What `emit` is told; override it as you like."""
    return {}


@pytest.fixture
def in_time() -> bool:
    """Whether the reference goes through every time step. Slow, and the same integers."""
    return False


@pytest.fixture
def bench(
    backend: Backend, options: Mapping[str, str], in_time: bool, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    """The backend with what it emitted so far."""
    key = (backend.name, type(backend), tuple(sorted(options.items())))
    if key not in _benches:
        _benches[key] = Bench(backend, tmp_path_factory.mktemp(backend.name), options, in_time)
    return _benches[key]


@pytest.fixture
def tell(backend: Backend, record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Tell:
    """Enters a line into the support matrix; what is then put under `says` stands in it (see plugin.py)."""
    if not request.config.pluginmanager.is_registered(plugin):
        request.config.pluginmanager.register(plugin, plugin.NAME)

    def enter(section: str, row: str) -> dict[str, Any]:
        cell = {"backend": backend.name, "section": section, "row": row, "says": "yes", "why": ""}
        record_property(plugin.NAME, cell)
        return cell

    return enter


def _probe(parts: Sequence[Part]) -> tuple[Program, Store]:
    made = Probe()
    for part in parts:
        part(made)
    return made.finish(), made.store


def _ids(batch: int, length: int, seed: int = 0, rows: int = ROWS) -> Any:
    return np.random.default_rng(seed).integers(0, rows, (batch, length))


def _calls(program: Program) -> list[Call]:
    """A prompt, two steps and three tokens more; where there is a mask, sequences are padded left, right and not."""
    calls: list[Call] = [(_ids(3, 5, 1), None), (_ids(3, 1, 2), None), (_ids(3, 1, 3), None), (_ids(3, 3, 4), None)]
    if program.input("mask") is None:
        return calls
    mask = np.ones((3, 10), dtype=np.int64)
    mask[1, :2] = 0
    mask[2, 3:5] = 0
    ends = np.cumsum([ids.shape[1] for ids, _ in calls])
    return [(ids, mask[:, :end]) for (ids, _), end in zip(calls, ends, strict=True)]


def taken_parts(bench: Bench, parts: Sequence[Part], cell: dict[str, Any]) -> list[Part]:
    """Those that the backend takes, which the cell then says; the others must be refused as is due."""
    taken, why = [], ""
    for part in parts:
        if reason := bench.refusal(*_probe([part])):
            why = short(reason, cell["row"])
        else:
            taken.append(part)
    if len(taken) < len(parts):
        cell.update(says=f"{len(taken)} of {len(parts)}" if taken else "no", why=why)
    return taken


def _leave_out(bench: Bench, program: Program, store: Store, cell: dict[str, Any]) -> None:
    """Say what of a row was taken, but left out of what was emitted, as map.json has it."""
    out = bench.emit(program, store)
    told = read_map(out) if (out / MAP).exists() else []
    names = {"models": "", "spike codes": "spike.linear "}  # the ops that a row is about
    told = [e for e in told if f"= {names.get(cell['section'], cell['row'] + ' ')}" in e["ir"]]
    left = [entry["became"] for entry in told if entry["became"].startswith(LEFT_OUT)]
    if left:
        cell.update(says="no" if len(left) == len(told) else "in part", why=left[0].removeprefix(LEFT_OUT))


def _check_parts(bench: Bench, parts: Sequence[Part], cell: dict[str, Any]) -> None:
    """All that the backend takes, in one program, against the reference."""
    taken = taken_parts(bench, parts, cell)
    if not taken:
        return
    program, store = _probe(taken)
    _leave_out(bench, program, store, cell)
    got, want = bench.load(program, store), bench.reference(program, store)
    calls = _calls(program)
    for made, expected in zip(play(got, calls, 3), play(want, calls, 3), strict=True):
        assert_agrees(made, expected)
    assert_agrees(dict(got.run(_ids(1, 1))), dict(want.run(_ids(1, 1))))
    assert_counts(got.stats(), want.stats())


@pytest.mark.parametrize("name", sorted(PARTS))
def test_op(name: str, bench: Bench, tell: Tell) -> None:
    """Every op of the table, in its several ways: integers are those of the reference, floats nearly."""
    _check_parts(bench, PARTS[name], tell("ops", name))


@pytest.mark.parametrize("code", [*SIGNED, *UNSIGNED], ids=str)
def test_code(code: Code, bench: Bench, tell: Tell) -> None:
    """Every spike code: linear layers with weights of each kind, segments, encoders, attention; spikes are counted."""
    assert code.name in CODES
    _check_parts(bench, code_parts(code), tell("spike codes", str(code)))


def _taken(bench: Bench, family: Family, cell: dict[str, Any]) -> tuple[Program, Store] | None:
    """The model of a family, if the backend takes it."""
    program, store = tiny_model(family)
    if reason := bench.refusal(program, store):
        cell.update(says="no", why=short(reason))
        return None
    return program, store


def _words(batch: int, length: int, seed: int = 0) -> Any:
    return _ids(batch, length, seed, VOCABULARY)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_model(family: Family, bench: Bench, tell: Tell) -> None:
    """A tiny whole model: a prompt, a step, two tokens more; logits as the reference has them, spikes counted."""
    cell = tell("models", family.name)
    if (model := _taken(bench, family, cell)) is None:
        return
    _leave_out(bench, *model, cell)
    runners = [bench.load(*model), bench.reference(*model)]
    ids = _words(2, 9)
    parts = (ids[:, :6], ids[:, 6:7], ids[:, 7:]) if family.causal else (ids,)
    made, expected = (play(r, [(part, None) for part in parts], 2) for r in runners)
    for got, want in zip(made, expected, strict=True):
        assert_follows(got, want)
    assert_counts(runners[0].stats(), runners[1].stats(), within=0.02)


CAUSAL = [f for f in FAMILIES if f.causal]


@pytest.mark.parametrize("family", CAUSAL, ids=lambda f: f.name)
def test_decode_follows_prefill(family: Family, bench: Bench, tell: Tell) -> None:
    """Token by token over the cache, what a prompt gives at once."""
    if (model := _taken(bench, family, tell("models", family.name))) is None:
        return
    runner = bench.load(*model)
    ids = _words(1, 8, 5)
    whole = dict(runner.run(ids, runner.new_state()))
    steps = play(runner, [(ids[:, i : i + 1], None) for i in range(8)], 1)
    assert_follows({n: np.concatenate([s[n] for s in steps], axis=1) for n in whole}, whole)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_sequences_of_a_batch_do_not_meet(family: Family, bench: Bench, tell: Tell) -> None:
    """Each of a batch gives what it gives alone; one padded on either side too, and it goes on from there."""
    if (model := _taken(bench, family, tell("models", family.name))) is None:
        return
    runner = bench.load(*model)
    ids, mask = _words(3, 6, 6), np.ones((3, 6), dtype=np.int64)
    mask[1, slice(0, 2) if family.causal else slice(3, 6)] = 0  # an encoder's first token is one that is there
    mask[2, 4:] = 0
    together, state = _first(runner, ids, mask)
    alone = [_first(runner, ids[i : i + 1, mask[i] > 0], None) for i in range(3)]
    for i, (by_itself, _) in enumerate(alone):
        for name, values in by_itself.items():
            row = together[name][i : i + 1]
            assert_follows({name: row[:, mask[i] > 0] if row.ndim == 3 else row}, {name: values})
    if family.causal:
        more = dict(runner.run(_words(3, 1, 7), state))
        for i, (_, own) in enumerate(alone[:2]):
            assert_follows(
                {n: v[i : i + 1] for n, v in more.items()}, dict(runner.run(_words(3, 1, 7)[i : i + 1], own))
            )


def _first(runner: Runner, ids: Any, mask: Any) -> tuple[dict[str, Any], Any]:
    state = runner.new_state(len(ids))
    return dict(runner.run(ids, state, mask=mask)), state


WINDOWED = next(f for f in FAMILIES if f.name == "mistral")


@pytest.mark.parametrize("length", LENGTHS)
def test_length(length: int, bench: Bench, tell: Tell) -> None:
    """Prompts of any length, far beyond the window, and a step after them."""
    cell = tell("ways", "lengths 1 to 300")
    program, store = tiny_model(WINDOWED, 1)
    if reason := bench.refusal(program, store):
        cell.update(says="no", why=short(reason))
        return
    calls: list[Call] = [(_words(1, length), None), (_words(1, 1, 1), None)]
    runners = (bench.load(program, store), bench.reference(program, store))
    for got, want in zip(*(play(r, calls, 1) for r in runners), strict=True):
        assert_follows(got, want)


def _some_model(bench: Bench, cell: dict[str, Any]) -> tuple[Program, Store] | None:
    """A program that the backend takes: a model, or else the first of the probes."""
    for model in [*(tiny_model(f, 1) for f in FAMILIES[:3]), *(_probe(parts[:1]) for parts in PARTS.values())]:
        if not bench.backend.supports(model[0]):
            return model
    cell.update(says="no", why="it takes nothing")
    return None


def test_same_bytes(bench: Bench, tell: Tell) -> None:
    """The same input gives the same files."""
    if (model := _some_model(bench, tell("ways", "same input, same bytes"))) is None:
        return
    first, second = (files(bench.emit(*model, number=i)) for i in (1, 2))
    assert first, "nothing was written"
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_same_outputs(bench: Bench, tell: Tell) -> None:
    """The same program gives the same numbers, however often, with its weights in the folder around it or its own."""
    if (model := _some_model(bench, tell("ways", "same input, same outputs"))) is None:
        return
    runners = [bench.load(*model, number=i) for i in (0, 1)]
    ids = _ids(1, 4)
    first, other, again = (dict(r.run(ids)) for r in (*runners, runners[0]))
    for name, values in first.items():
        np.testing.assert_array_equal(values, other[name])
        np.testing.assert_array_equal(values, again[name])


def test_spikes_are_counted(bench: Bench, tell: Tell) -> None:
    """stats() says what the rules of counting say (backends/counting.py), or nothing at all."""
    cell = tell("ways", "spikes counted")
    for program, store in (_probe([part]) for name in ("spike.linear", "lif.linear") for part in PARTS[name][1:]):
        if bench.backend.supports(program):
            continue
        got, want = bench.load(program, store), bench.reference(program, store)
        for runner in (got, want):
            runner.run(_ids(2, 3))
        if not assert_counts(got.stats(), want.stats()):
            cell.update(says="no", why="it counts none")
        return
    cell.update(says="no", why="it has no product that spikes drive")


def test_what_is_not_known_is_refused(bench: Bench, tell: Tell) -> None:
    """An op that no table has, an option there is not, a mask of the wrong length."""
    if (model := _some_model(bench, tell("ways", "refuses what it does not know"))) is None:
        return
    if bench.backend.name != "reference":  # which takes all that has a meaning, and finds out when it runs
        assert bench.refusal(with_op(model[0], "nn.unheard_of", "model.odd"), model[1])
    with pytest.raises(Exception, match="unheard-of"):
        bench.backend.emit(*model, bench.folder / "option", {"unheard-of": "1"})
    if model[0].input("mask") is not None:
        with pytest.raises(Exception, match="mask"):
            bench.load(*model).run(_ids(1, 3), mask=np.ones((1, 2), dtype=np.int64))


def test_what_was_emitted_is_told(bench: Bench, tell: Tell) -> None:
    """map.json, if it is written: every op of the program, in order, with what became of it."""
    cell = tell("ways", "says what each op became")
    if (model := _some_model(bench, cell)) is None:
        return
    out = bench.emit(*model)
    if not (out / MAP).exists():
        cell.update(says="no", why=f"it writes no {MAP}")
        return
    told = read_map(out)
    assert [entry["op"] for entry in told] == [op.result.name for op in model[0].ops]
    for entry, expected in zip(told, reading(model[0]), strict=True):
        assert {**entry, "ir": expected["ir"], "became": ""} == expected
        assert entry["ir"].startswith(expected["ir"])
        assert entry["became"].strip(), entry["op"]
