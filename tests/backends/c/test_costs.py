"""The choice among kernels: a table of costs, the firing rates in the program, and what the manifest says of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdllm.backends.c import CBackend
from sdllm.backends.c.backend import RUNTIME
from sdllm.backends.c.costs import FORMS, KERNELS, SHIPPED, Costs, own_table, read, where
from sdllm.backends.c.runner import CRunner
from sdllm.ir import DigitRamp, Program, Store

from ...toys import toy_decoder
from ..test_whole_models import ids_of


def table(path: Path, **slopes: tuple[float, float]) -> Path:
    """A table where every kernel's time on every matrix goes straight from the first number to the second."""
    curves = [
        {
            "kernel": kernel,
            "form": form,
            "width": width,
            "out": 16,
            "shares": [0.0, 1.0],
            "microseconds": list(slopes.get(kernel, (9, 9))),
        }
        for kernel in KERNELS
        for form in FORMS
        for width in (16, 1024)
    ]
    path.write_text(json.dumps({"format": 1, "cpu": "an abacus", "isa": "beads", "curves": curves}))
    return path


def with_rates(program: Program, share: float) -> Program:
    rates = {op.operands[0].name: share for op in program.ops if op.name == "spike.linear"}
    return replace(program, meta={**program.meta, "firing": rates})


@pytest.fixture(scope="module")
def model() -> tuple[Program, Store]:
    return toy_decoder(1, code=DigitRamp(6, 4, 10))


def chosen(model: tuple[Program, Store], out: Path, share: float | None, costs: Path) -> dict[str, Any]:
    program, store = model
    program = program if share is None else with_rates(program, share)
    return CBackend().emit(program, store, out, {"context": "16", "costs": str(costs)})


def kernels(manifest: dict[str, Any]) -> set[str]:
    return {line["kernel"] for line in manifest["linears"]}


@pytest.mark.parametrize("cheap", KERNELS)
def test_all_matrices_take_what_the_table_says_is_cheap(cheap: str, model: Any, tmp_path: Path) -> None:
    costs = table(tmp_path / "costs.json", **{cheap: (1, 1)})
    made = chosen(model, tmp_path / "c", 0.8, costs)
    assert kernels(made) == {cheap}
    others = {k: (1.0, 1.0) for k in KERNELS if k != cheap}
    assert cheap not in kernels(chosen(model, tmp_path / "c", 0.8, table(tmp_path / "costs.json", **others)))


def test_the_choice_turns_where_the_lines_cross(model: Any, tmp_path: Path) -> None:
    costs = table(tmp_path / "costs.json", dense=(5, 5), event=(1, 9), add=(9, 9))
    for share, kernel in ((0.1, "event"), (0.49, "event"), (0.51, "dense"), (1.0, "dense"), (None, "dense")):
        made = chosen(model, tmp_path / f"c{share}", share, costs)
        assert kernels(made) == {kernel}
        for line in made["linears"]:
            assert line["nonzero"] == (1.0 if share is None else share)
            assert line["microseconds"]["event"] / line["microseconds"]["dense"] == pytest.approx(
                (1 + 8 * line["nonzero"]) / 5, rel=0.05
            )
    assert made["costs"] == {"table": "measured", "sha256": read(costs).sha256, "cpu": "an abacus", "isa": "beads"}


def test_each_choice_runs_to_the_same_numbers(model: Any, tmp_path: Path) -> None:
    """Some matrices by each kernel, in one model."""
    program, store = model
    rates = {op.operands[0].name: 0.0 for op in program.ops if op.name == "spike.linear"}
    rates |= {name: 1.0 for name in list(rates)[::2]}
    mixed = replace(program, meta={**program.meta, "firing": rates})
    costs = table(tmp_path / "costs.json", dense=(5, 5), event=(1, 9))
    made = chosen((mixed, store), tmp_path / "mixed", None, costs)
    assert kernels(made) == {"dense", "event"}
    CBackend().emit(program, store, tmp_path / "dense", {"context": "16", "kernels": "dense"})
    wanted, got = (CRunner(tmp_path / name).run(ids_of(1, 5))["logits"] for name in ("dense", "mixed"))
    np.testing.assert_array_equal(got, wanted)


def test_the_nearest_shape_counts_by_its_weights(tmp_path: Path) -> None:
    costs = read(table(tmp_path / "costs.json", dense=(2, 4)))
    assert costs.predict("dense", "rows", 16, 16, 0.5) == pytest.approx(3)
    assert costs.predict("dense", "rows", 32, 16, 0.5) == pytest.approx(6)
    assert costs.predict("dense", "rows", 1024, 16, 0.0) == pytest.approx(2)
    assert costs.predict("dense", "rows", 512, 8, 1.0) == pytest.approx(1)


def test_which_table_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The given one, $SDLLM_COSTS, the user's own, the shipped one: in this order."""
    monkeypatch.setenv("SDLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SDLLM_COSTS", raising=False)
    shipped = read(where())
    assert (shipped.measured, shipped.told["table"]) == (False, "shipped")
    assert shipped == read(SHIPPED)
    assert CBackend().measured() == {}
    own_table().parent.mkdir(parents=True)
    own = read(table(own_table(), dense=(1, 2)))
    assert read(where()) == own != shipped
    assert CBackend().measured()["costs"]["cpu"] == "an abacus"
    named = read(table(tmp_path / "named.json", dense=(3, 4)))
    monkeypatch.setenv("SDLLM_COSTS", str(tmp_path / "named.json"))
    assert read(where()) == named
    given = read(table(tmp_path / "given.json", dense=(5, 6)))
    assert read(where(str(tmp_path / "given.json"))) == given
    assert len({c.sha256 for c in (shipped, own, named, given)}) == 4
    assert not (RUNTIME / SHIPPED.name).exists()


def _broken(tmp_path: Path) -> dict[str, Path]:
    good = json.loads(table(tmp_path / "good.json").read_text())
    cases: dict[str, Any] = {
        "format 9, this sdllm reads 1": {**good, "format": 9},
        "it has no 'curves'": {k: v for k, v in good.items() if k != "curves"},
        "nothing about add on bytes": {**good, "curves": good["curves"][:-2]},
        "times of dense on rows 16x16 make no sense": {
            **good,
            "curves": [{**good["curves"][0], "microseconds": [0, 1]}, *good["curves"][1:]],
        },
        "Expecting value": "",
        "list": [],
    }
    found = {"no cost table can be read": tmp_path / "nowhere.json"}
    for i, (why, content) in enumerate(cases.items()):
        found[why] = tmp_path / f"{i}.json"
        found[why].write_text(content if isinstance(content, str) else json.dumps(content))
    return found


def test_a_damaged_table_is_refused_in_one_line(model: Any, tmp_path: Path) -> None:
    for why, path in _broken(tmp_path).items():
        with pytest.raises(Exception, match=why) as error:
            chosen(model, tmp_path / "c", 0.5, path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        # Only auto asks what kernels cost.
        CBackend().emit(*model, tmp_path / "c", {"context": "16", "kernels": "event", "costs": str(path)})


def test_the_shipped_table_is_whole() -> None:
    costs: Costs = read(SHIPPED)
    for curve in costs.curves:
        assert curve.shares[-1] == 1.0
        assert curve.shares[0] <= 0.2
