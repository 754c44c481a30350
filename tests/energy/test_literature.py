"""From a config alone: the joules that SDLLM publishes for LLaMA2-7B, and what the same rule predicts elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., tuple[int, str, str]]
CONFIGS = Path(__file__).parent / "configs"
# J in fp32, in W4A4 and on spikes, to the digits of the paper's table (LLaMA2-7B) or of ours.
FIGURES = {
    "llama2-7b": ("31.77", "3.97", "0.67"),
    "llama2-13b": ("61.74", "7.72", "1.302"),
    "llama3-8b": ("34.14", "4.27", "0.720"),
    "qwen2.5-14b": ("64.61", "8.08", "1.362"),
}


def told(cli: Cli, *args: object) -> dict[str, Any]:
    """The command's JSON."""
    code, out, err = cli("energy", *args, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures(cli: Cli, name: str) -> None:
    found = told(cli, "--config", CONFIGS / f"{name}.json")
    rows = {m["name"]: m["joules"]["literature"] for m in found["models"]}
    have = (rows["source, fp32"], rows["dense, W4A4"], rows["spike program"])
    for joules, wanted in zip(have, FIGURES[name], strict=True):
        assert f"{joules:.{len(wanted.split('.')[1])}f}" == wanted
    assert found["spikes"] == {"value": pytest.approx(0.862), "from": "fitted"}
    assert rows["source, fp16"] is None


def test_operations_of_llama2_7b(cli: Cli) -> None:
    assert told(cli, "--config", CONFIGS / "llama2-7b.json")["operations"] == pytest.approx(6.9063e12, rel=1e-5)


def test_the_table_shows_them_and_says_whose_they_are(cli: Cli) -> None:
    code, table, _ = cli("energy", "--config", CONFIGS / "llama2-7b.json")
    assert code == 0
    for words in ("31.77", "3.971", "0.6697", "fitted", "stated", "derived", "reconstruction", "chosen", "softmax"):
        assert words in table


def test_linear_in_spikes(cli: Cli) -> None:
    """Column a is spikes times a constant; b and c are that and what does not depend on spikes."""
    one, two, three = (
        told(cli, "--config", CONFIGS / "llama3-8b.json", "--spikes", s)["models"][-1]["joules"] for s in (1, 2, 3)
    )
    assert two["literature"] == pytest.approx(2 * one["literature"])
    for rule in ("integers", "with memory"):
        assert three[rule] - two[rule] == pytest.approx(two[rule] - one[rule])
        assert 0 < one[rule] < two[rule]


def test_given_spikes_are_not_called_fitted(cli: Cli) -> None:
    found = told(cli, "--config", CONFIGS / "llama2-7b.json", "--spikes", 1.5, "--seq", 7)
    assert found["spikes"] == {"value": pytest.approx(1.5), "from": "given"}
    assert found["tokens"] == 7
    assert "fitted" not in json.dumps(found["columns"])


@pytest.mark.parametrize("name", FIGURES)
def test_memory_is_never_free(cli: Cli, name: str) -> None:
    near = told(cli, "--config", CONFIGS / f"{name}.json", "--membranes", "register")
    far = told(cli, "--config", CONFIGS / f"{name}.json", "--memory", "dram")
    for a, b in zip(near["models"], far["models"], strict=True):
        assert a["joules"]["integers"] == b["joules"]["integers"]
        assert a["joules"]["integers"] < a["joules"]["with memory"] < b["joules"]["with memory"]
    assert "membranes" not in {p["name"] for p in near["parts"]["with memory"] if p["pj"]}
