"""The model `sdllm` of lm-evaluation-harness gives what `sdllm-compile eval` gives. Needs the extra `eval`."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sdllm.compiler.evaluation.lm_eval_command import main

from .conftest import CHOICES, CONTEXTS

Cli = Callable[..., tuple[int, str, str]]
Lines = Callable[..., Path]


def test_the_entry_point_leads_to_the_adapter() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, name = project["entry-points"]["lm_eval.models"]["sdllm"].split(":")
    assert f"class {name}(" in (Path(__file__).parents[2] / module.replace("sdllm.", "").replace(".", "/")).with_suffix(
        ".py"
    ).read_text(encoding="utf-8")


def test_without_the_harness_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.__main__", None)
    assert main() == 2
    assert "pip install 'sdllm[eval]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def lm(compiled: Path) -> Any:
    pytest.importorskip("lm_eval")
    from lm_eval.api.registry import get_model
    from sdllm.compiler.evaluation import lm_eval_adapter

    assert get_model("sdllm") is lm_eval_adapter.SpikeLM
    return get_model("sdllm").create_from_arg_string(f"pretrained={compiled}", {"batch_size": 1, "device": None})


def requests(*args: tuple[Any, ...]) -> list[Any]:
    return [SimpleNamespace(args=a) for a in args]


def test_log_likelihoods_are_those_of_eval(lm: Any, cli: Cli, compiled: Path, lines: Lines) -> None:
    # Both split texts by code of their own: the harness in its base class, eval in pairs.py.
    items = [*CHOICES, *CONTEXTS, {"ctx": "", "choices": ["the cat"], "gold": 0}]
    given = ("--task", "mine", "--data", lines(items), "--save-items", "--json")
    code, told, said = cli("eval", compiled, *given)
    assert code == 0, said
    asked = requests(
        *[(i["ctx"], f" {c}") for i in items if "ctx" in i for c in i["choices"]],
        *[(c, f" {i['cont']}") for i in items if "ctxs" in i for c in i["ctxs"]],
    )
    found = [value for value, _greedy in lm.loglikelihood(asked, disable_tqdm=True)]
    rows = [row["loglikelihoods"] for row in json.loads(told)["items"]]
    ordered = [*rows[: len(CHOICES)], rows[-1], *rows[len(CHOICES) : -1]]
    assert found == pytest.approx([value for row in ordered for value in row], abs=1e-3)


def test_a_source_model_scores_as_by_the_harness_itself(tiny: Path, lm: Any) -> None:
    from lm_eval.models.huggingface import HFLM
    from sdllm.compiler.evaluation.lm_eval_adapter import SpikeLM

    pairs = [(i["ctx"], f" {c}") for i in CHOICES for c in i["choices"]] + [("", "the cat"), ("the " * 80, "cat")]
    theirs, ours = HFLM(pretrained=str(tiny), dtype="float32", device="cpu"), SpikeLM(str(tiny))
    for asked, method in ((pairs, "loglikelihood"), ([("the cat sat on the mat. " * 20,)], "loglikelihood_rolling")):
        expected, found = (getattr(m, method)(requests(*asked), disable_tqdm=True) for m in (theirs, ours))
        values = [[v[0] if isinstance(v, tuple) else v for v in answers] for answers in (expected, found)]
        assert values[1] == pytest.approx(values[0], abs=1e-3)
        if method == "loglikelihood":
            assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


def test_rolling_covers_each_token_once(lm: Any) -> None:
    text = "the cat sat on the mat and the dog ran after the cat. " * 12  # longer than the context
    [total], [short] = (lm.loglikelihood_rolling(requests((t,)), disable_tqdm=True) for t in (text, "the cat"))
    [(same, _)] = lm.loglikelihood(requests(("", "the cat")), disable_tqdm=True)
    assert short == pytest.approx(same)
    assert len(lm.tok_encode(text)) > lm.max_length
    assert total < 10 * short


def test_generation_stops_where_it_is_told(lm: Any) -> None:
    [whole] = lm.generate_until(requests(("the cat", {"max_gen_toks": 8})), disable_tqdm=True)
    assert whole
    end = whole[len(whole) // 2]
    [cut] = lm.generate_until(requests(("the cat", {"max_gen_toks": 8, "until": [end]})), disable_tqdm=True)
    assert cut == whole.split(end)[0]
    with pytest.raises(ValueError, match="no room"):
        lm.generate_until(requests(("the cat", {"until": "x"})), disable_tqdm=True)  # 256 by default, context 64


def test_a_task_of_the_harness(lm: Any, cli: Cli, compiled: Path, lines: Lines, tmp_path: Path) -> None:
    """A task file of ours as a yaml of the harness: the same accuracies and standard errors."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    items = [{**item, "ignored": False} for item in CHOICES for _ in range(3) if len(item["choices"]) == 2]
    words = ("cat", "dog", "mat")
    items += [{"ctx": f"the {word} sat on", "choices": ["the mat", "a dog"], "gold": 1} for word in words]
    data = lines(items)
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        "test_split: test\noutput_type: multiple_choice\n"
        'doc_to_text: "{{ctx}}"\ndoc_to_target: gold\ndoc_to_choice: choices\n'
        "metric_list:\n - metric: acc\n - metric: acc_norm\n"
    )
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    theirs = simple_evaluate(lm, tasks=["mine"], task_manager=manager, bootstrap_iters=100)["results"]["mine"]
    ours = json.loads(cli("eval", compiled, "--task", "mine", "--data", data, "--json")[1])["metrics"]
    for name, value in ours.items():
        assert theirs[f"{name},none"] == pytest.approx(value)
