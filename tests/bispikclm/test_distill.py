"""distill: text in, a student out, whose program every backend runs; stops, resumes and wrong input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sdllm.compiler.bispikclm import BiSpikCLMForCausalLM
from sdllm.compiler.distill import Settings, distill, parse_terms
from sdllm.compiler.distill.spad import SpAD, meeting
from sdllm.compiler.distill.student import fresh
from sdllm.compiler.distill.teacher import Lesson, Teacher, TopK
from sdllm.compiler.distill.text import pack
from sdllm.compiler.distill.train import parameters
from sdllm.compiler.errors import InputError
from sdllm.compiler.sources import open_source
from sdllm.compiler.ui import Quiet
from transformers import AutoTokenizer, OPTForCausalLM

from ..conftest import TEXT

Cli = Callable[..., tuple[int, str, str]]
SMALL = ["--layers", "1", "--hidden", "32", "--heads", "2", "--ffn", "48", "--length", "16", "--batch", "4"]


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "cat.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def taught(tiny: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of the tiny Llama by all five terms, in seconds."""
    out = tmp_path_factory.mktemp("taught") / "student"
    settings = Settings(
        data=(text,), teacher=str(tiny), layers=1, hidden=32, heads=2, ffn=48, length=16, batch=8, tokens=40_000
    )
    done = distill(settings, out, Quiet())
    assert done.facts is not None
    return out


def test_a_student_learns(taught: Path) -> None:
    facts = json.loads((taught / "training.json").read_text())
    first, last = facts["history"][0], facts["history"][-1]
    assert set(first) >= {"ea", "saa", "sfa", "sta", "hta", "loss", "tokens", "seconds"}
    assert last["hta"] < 0.6 * first["hta"]
    assert last["held_out"] < 0.6 * first["hta"]
    assert abs(facts["held_out_loss"] - last["held_out"]) < 0.05  # rounding to the grid costs nothing to speak of
    assert facts["tokens"] == 40_064
    assert facts["bytes_per_token"] > 1
    assert "<polyline" in (taught / "loss.svg").read_text()
    assert not taught.with_name("student.training").exists()


def test_it_is_a_model_like_any_other(taught: Path, tiny: Path) -> None:
    words = "the cat sat"
    own, given = (AutoTokenizer.from_pretrained(p)(words)["input_ids"] for p in (taught, tiny))
    assert own == given
    model = BiSpikCLMForCausalLM.from_pretrained(taught)
    codes = model.model.layers[0].feed_forward.fc1.weight * 2**12
    assert torch.equal(codes, codes.round())


def test_every_backend_runs_it(taught: Path, tmp_path: Path, cli: Cli, backends: list[str]) -> None:
    out = tmp_path / "out"
    emit = [word for name in backends for word in ("--backend", name)]
    code, said, error = cli("compile", taught, "-o", out, *emit, "--sequences", "2", "--length", "16")
    assert (code, error) == (0, "")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["recipe"] == "bispikclm"
    written = {}
    for name in (*backends, "reference"):
        code, said, error = cli("run", out, "--backend", name, "--prompt", "the cat", "--max-tokens", "8", "--json")
        assert code == 0, error
        written[name] = json.loads(said)["text"]
    assert len(set(written.values())) == 1, written
    assert any(word in written["reference"] for word in ("sat", "ran", "mat", "dog", "the"))
    assert cli("verify", out)[0] == 0


@pytest.fixture
def backends() -> list[str]:
    return ["simulator", "c"]


def test_the_ordinary_decoder_by_the_same_command(text: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "ann"
    code, said, error = cli(
        "distill", "-o", out, "--data", text, "--vocabulary", "270", "--no-spikes", *SMALL, "--tokens", "5k", "--json"
    )
    assert (code, error) == (0, "")
    assert json.loads(said)["settings"]["terms"] == {"hta": 0.3}
    assert isinstance(OPTForCausalLM.from_pretrained(out), OPTForCausalLM)
    assert cli("compile", out, "-o", tmp_path / "dense", "--recipe", "dense", "--no-measure")[0] == 0
    code, _, error = cli("compile", out, "-o", tmp_path / "spikes", "--recipe", "bispikclm")
    assert code == 2
    assert "has no LIF neurons" in error


RESUMED = [*SMALL, "--tokens", "3k", "--seed", "3"]


def test_a_killed_run_goes_on_exactly(taught: Path, tiny: Path, text: Path, tmp_path: Path, cli: Cli) -> None:
    """Killed without warning between two checkpoints, then taken up: weights to the last bit those of one run."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    call = ["distill", str(tiny), "--data", str(text), *RESUMED]
    assert cli(*call, "-o", whole)[0] == 0
    command = [sys.executable, "-m", "sdllm.compiler.cli", *call, "-o", str(parts), "--checkpoint-minutes", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "parts.training"
    deadline = time.monotonic() + 120
    while not list(folder.glob("step-*/progress.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not parts.exists()
    (before,) = [json.loads(p.read_text())["step"] for p in sorted(folder.glob("step-*/progress.json"))[-1:]]
    assert 0 < before < 47
    assert cli(*call, "-o", parts)[0] == 0
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    a, b = (json.loads((p / "training.json").read_text())["history"] for p in (whole, parts))
    assert [{**line, "seconds": 0} for line in a] == [{**line, "seconds": 0} for line in b]


def test_a_run_does_not_go_on_with_other_settings(text: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    call = ["distill", "-o", out, "--data", text, "--vocabulary", "270", *SMALL, "--tokens", "1k"]
    (tmp_path / "out.training").mkdir()
    assert cli(*call)[0] == 0
    settings = json.loads((out / "training.json").read_text())["settings"]
    (tmp_path / "other.training").mkdir()
    (tmp_path / "other.training" / "settings.json").write_text(json.dumps({**settings, "seed": 9, "text": "x"}))
    code, _, error = cli(*[str(c).replace(str(out), str(tmp_path / "other")) for c in call])
    assert code == 2
    assert "was begun with another seed (9, now 0)" in error


def test_top_k_stands_for_the_whole_distribution(tiny: Path, text: Path, tmp_path: Path) -> None:
    """With as many tokens as there are, the cached KL is that of the logits, but for float16; with fewer it is less."""
    teacher = Teacher(open_source(str(tiny)), maps=False)
    corpus = pack([TEXT], AutoTokenizer.from_pretrained(tiny), 16, 4)
    settings = Settings(data=(text,), teacher=str(tiny), layers=1, hidden=32, heads=2, length=16)
    made = fresh(settings, AutoTokenizer.from_pretrained(tiny), teacher.model.config.vocab_size)
    rows = corpus.rows(0, 4, 0)
    ids = torch.from_numpy(corpus.train[rows])
    spad = SpAD(made, {"sta": 1.0}, 2.0, teacher)
    with torch.no_grad():
        want = spad(ids, teacher.lesson(ids, inner=False))["sta"]
        for k in (teacher.model.config.vocab_size, 8):
            cache = TopK(tmp_path / str(k), corpus.train.shape, k)
            cache.fill(teacher, corpus.train, 2.0, lambda done, total, what: None)
            got = spad(ids, cache.lesson(rows, ids.device))["sta"]
            if k > 8:
                torch.testing.assert_close(got, want, rtol=5e-3, atol=1e-3)
            else:
                assert 0 < got < want


def test_each_term_is_nought_where_student_and_teacher_agree(tiny: Path) -> None:
    """STA against its own logits; SFA and EA of what the projections give; SAA of maps that fire alike."""
    teacher = Teacher(open_source(str(tiny)), maps=True)
    ids = torch.arange(12)[None]
    lesson = teacher.lesson(ids, inner=True)
    assert [m.shape for m in lesson.maps] == [(1, 4, 12, 12)] * 2
    torch.testing.assert_close(lesson.maps[0].sum(-1), torch.ones(1, 4, 12))
    assert len(lesson.features) == 2
    settings = Settings(data=(), teacher=str(tiny), layers=2, hidden=32, heads=4, length=16)
    student = fresh(settings, AutoTokenizer.from_pretrained(tiny), teacher.model.config.vocab_size)
    spad = SpAD(student, {"sta": 1.0, "saa": 1.0}, 2.0, teacher)
    said = student(input_ids=ids, output_attentions=True)
    own = spad(ids, Lesson(said.logits, maps=tuple(said.attentions)))
    assert own["sta"].item() == pytest.approx(0, abs=1e-6)
    full = tuple(torch.ones_like(m) for m in said.attentions)
    worse = spad(ids, Lesson(said.logits, maps=full))
    assert worse["saa"].item() > spad(ids, Lesson(said.logits, maps=said.attentions))["saa"].item()
    # A teacher whose attention is spread over many tokens does not ask for silence.
    spread = spad(ids, Lesson(said.logits, maps=tuple(0.01 * m for m in full)))
    assert spread["saa"].item() == pytest.approx(worse["saa"].item())


def test_queries_and_keys_of_heads_with_spans_learn_slowly(tiny: Path) -> None:
    settings = Settings(data=(), layers=1, hidden=32, heads=2, length=16, spans="1,all")
    student = fresh(settings, AutoTokenizer.from_pretrained(tiny), 53)
    usual, slow = sorted(parameters(student, slow=True), key=lambda g: -g["share"])
    projections = [p for n, p in student.named_parameters() if "q_proj" in n or "k_proj" in n]
    assert [id(p) for p in slow["params"]] == [id(p) for p in projections]
    assert (usual["share"], len(projections)) == (1.0, 4)
    assert slow["share"] < 1
    (all_,) = parameters(student, slow=False)
    assert all_["share"] == 1.0
    # They begin open: every query and key fires, whatever it reads.
    attention = student.model.layers[0].attention
    assert attention.q_proj.bias.detach().min() >= student.config.threshold / 2**student.config.frac
    assert settings.reach == [[1, 1], [0, 15]]


def test_layers_meet_at_the_same_depth() -> None:
    assert meeting(2, 2) == [0, 1]
    assert meeting(2, 5) == [1, 4]
    assert meeting(4, 2) == [0, 0, 1, 1]


def test_every_pass_reads_every_sequence_once(tiny: Path) -> None:
    corpus = pack([TEXT], AutoTokenizer.from_pretrained(tiny), 16, 4)
    count = len(corpus.train)
    rows = np.concatenate([corpus.rows(step, 7, 0) for step in range(2 * count // 7 + 1)])
    assert sorted(rows[:count]) == sorted(rows[count : 2 * count]) == list(range(count))
    assert list(rows[:count]) != list(rows[count : 2 * count])


def test_terms_are_read() -> None:
    assert parse_terms("ea=0.5, hta") == {"ea": 0.5, "hta": 0.3}


WRONG = {
    "no such file": (["--data", "nowhere.txt"], "nowhere.txt: cannot be read"),
    "too little text": (["--length", "60", "--data", "SHORT"], "make no two sequences"),
    "an empty file": (["--data", "EMPTY"], "is empty"),
    "not text": (["--data", "BINARY"], "cannot be read as UTF-8"),
    "heads": (["--heads", "3"], "--hidden 128: must be a multiple of --heads 3"),
    "spans for other heads": (["--spans", "1,all"], "has 2 parts; give one for each of 4 --heads"),
    "spans of no number": (["--spans", "1,2,x,all"], "--spans x: must be tokens before the query"),
    "spans the wrong way round": (["--spans", "1,2,9-3,all"], "--spans 9-3: must be"),
    "steps": (["--steps", "3"], "must be a power of two"),
    "terms": (["--terms", "kl"], "SpAD's terms are"),
    "term twice": (["--terms", "hta,hta"], "given twice"),
    "weight": (["--terms", "hta=x"], "is no number"),
    "weight of nought": (["--terms", "hta=0"], "a weight above 0"),
    "tokens": (["--tokens", "many"], "give a number above 0"),
    "context": (["--length", "999"], "the teacher's context is 64"),
    "top k": (["--top-k", "4"], "--terms ea: needs the whole teacher"),
    "top k of nothing": (["--top-k", "4", "--terms", "hta"], "only the term sta reads"),
    "no spikes": (["--no-spikes", "--terms", "saa"], "--no-spikes has none"),
    "two tokenizers": (["--vocabulary", "300"], "leave one of the two out"),
    "batch": (["--batch", "0"], "must be at least 1"),
    "rate": (["--lr", "-1"], "--lr -1: must be more than 0"),
    "warm-up": (["--warmup", "1"], "a share from 0 to 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_bad_input_is_one_line(wrong: str, tiny: Path, text: Path, tmp_path: Path, cli: Cli) -> None:
    files = {"SHORT": b"the cat", "EMPTY": b" \n", "BINARY": b"\xff\xfe\x00"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    given, said = WRONG[wrong]
    words = [str(tmp_path / w) if w in files else w for w in given]
    data = [] if "--data" in words else ["--data", str(text)]
    code, out, error = cli("distill", tiny, "-o", tmp_path / "out", *data, *words)
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_teacher_and_vocabulary(text: Path, tmp_path: Path, cli: Cli) -> None:
    code, _, error = cli("distill", "-o", tmp_path / "out", "--data", text)
    assert code == 2
    assert "give one, or --vocabulary" in error


def test_what_is_there_is_not_replaced(text: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    code, _, error = cli("distill", "-o", tmp_path, "--data", text, "--vocabulary", "300", "--force")
    assert code == 2
    assert "is no student" in error
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_a_teacher_is_an_ordinary_decoder(taught: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=9, **sizes)).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="is a spiking student"):
        Teacher(open_source(str(taught)), maps=False)
    with pytest.raises(InputError, match="a teacher is a decoder"):
        Teacher(open_source(str(tmp_path / "bert")), maps=False)
