"""The emitted folder as its user meets it: make or cmake, then run on text or token ids."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sdllm.backends.c.build import FLAGS, compiler
from sdllm.backends.c.runner import CRunner

from ...toys import toy_decoder
from .common import emit
from .test_tokenizer import KINDS, trained, written


def done(*command: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(c) for c in command], capture_output=True, encoding="utf-8", errors="replace", check=False, **more
    )


def quiet(*command: object) -> None:
    made = done(*command)
    assert (made.returncode, made.stderr) == (0, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with text, in an artifact of its own, and built."""
    artifact = tmp_path_factory.mktemp("artifact")
    written(trained(KINDS["gpt2"][0]), artifact, stop=[1], chat=["<s>", "</s>"])
    made = emit(*toy_decoder(1, spiked_attention=True, vocabulary=430), artifact / "c", context="64")
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    quiet("make", "-s", "-C", made, "CFLAGS=-O0 -DSD_ONLY_PORTABLE", f"CC={' '.join(compiler())}")
    assert (made / "libmodel.so").exists()
    return made


def test_ids_and_threads_and_sampling(folder: Path) -> None:
    command = [folder / "run", "--ids", "1,2,3", "--tokens", "5"]
    first = done(*command)
    assert re.fullmatch(r"\d+(,\d+){4}\n", first.stdout)
    assert first.stderr == ""
    assert done(*command, "--threads", "2").stdout == first.stdout
    assert len({done(*command, "--temperature", "2", "--seed", seed).stdout for seed in "123"}) > 1


def test_text_is_that_of_the_ids(folder: Path) -> None:
    """What is said for a text is what the ids of that text bring, decoded."""
    tokenizer = trained(KINDS["gpt2"][0])
    for asked, text in ((("--prompt", "It's 漢字"), "<s>It's 漢字"), (("--chat", "It's"), "<s>It's</s>")):
        ids = ",".join(map(str, tokenizer.encode(text, add_special_tokens=False).ids))
        said = done(folder / "run", *asked, "--tokens", "40").stdout
        made = [int(i) for i in done(folder / "run", "--ids", ids, "--tokens", "40").stdout.split(",")]
        made = made[: made.index(1)] if 1 in made else made
        assert said.rstrip("\n") == tokenizer.decode(made, skip_special_tokens=True).rstrip("\n")
    assert done(folder / "run", "--prompt", "-", input="It's").stdout == done(folder / "run", "--prompt", "It's").stdout


def test_stats(folder: Path) -> None:
    plain = done(folder / "run", "--ids", "1,2,3", "--tokens", "5", "--threads", "1")
    told = done(folder / "run", "--ids", "1,2,3", "--tokens", "5", "--threads", "1", "--layers")
    assert told.stdout == plain.stdout
    assert re.search(r"^layers.0.attn.q: \d+ spikes, [\d.]+% of counts not 0", told.stderr, re.MULTILINE)
    assert re.search(
        r"^prompt: 3 tokens, [\d.]+ tokens/s; then 4 steps, [\d.]+ tokens/s; threads 1, kernels portable$",
        told.stderr,
        re.MULTILINE,
    )
    runner = CRunner(folder)
    runner.counting = True
    runner.prefill(np.array([1, 2, 3]))
    for token in plain.stdout.split(",")[:4]:
        runner.step(int(token))
    spikes, additions = (sum(getattr(c, of) for c in runner.stats().counts) / 7 for of in ("spikes", "additions"))
    assert f"\na token: {spikes:.0f} spikes, {additions:.0f} additions" in told.stderr


def test_a_full_context_ends_it(folder: Path) -> None:
    made = done(folder / "run", "--ids", "1,2,3", "--context", "8", "--tokens", "50", "--stats")
    assert made.returncode == 0
    assert len(made.stdout.split(",")) == 6
    assert "then 5 steps" in made.stderr


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (["--ids", "1,x"], "run: --ids: '1,x' is no list of integers\n"),
        (["--ids", "999"], "run: token id 999 is outside the vocabulary\n"),
        (["--ids", "1,2", "--context", "1"], "run: the prompt is longer than the context of 1 tokens\n"),
        (["--ids", "1", "--weights", "/nowhere"], "run: /nowhere: No such file or directory\n"),
        (["--prompt", "a", "--tokenizer", "/dev/null"], "run: /dev/null: is no tokenizer file of sdllm\n"),
        (["--ids", "1", "--tokens", "x"], "run: --tokens: 'x' is no whole number of 1 or more\n"),
        (["--ids", "1", "--context", "0"], "run: --context: '0' is no whole number of 1 or more\n"),
        (["--prompt", "a", "--threads", "1000"], "run: threads: 1 to 64, not 1000\n"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder: Path, wrong: list[str], reason: str) -> None:
    made = done(folder / "run", *wrong)
    assert (made.returncode, made.stderr) == (2, reason)


@pytest.mark.parametrize("wrong", [[], ["--tokens", "1"], ["--ids", "1", "--prompt", "a"], ["--ids"], ["--what", "1"]])
def test_a_wrong_call_shows_usage(folder: Path, wrong: list[str]) -> None:
    made = done(folder / "run", *wrong)
    assert made.returncode == 2
    assert made.stderr.startswith("run --prompt TEXT | --chat TEXT | --ids 1,2,3")


def test_no_tokenizer_is_said(folder: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(folder, tmp_path / "bare"))
    (bare / "tokenizer.bin").unlink()
    made = done(bare / "run", "--prompt", "a")
    assert made.returncode == 2
    assert made.stderr == "run: there is no tokenizer for this model in C (manifest.json says why); give --ids 1,2,3\n"
    assert done(bare / "run", "--ids", "1", "--tokens", "1").returncode == 0


def test_a_model_without_conversation_says_so(folder: Path, tmp_path: Path) -> None:
    written(trained(KINDS["gpt2"][0]), tmp_path, stop=[1], chat=None)
    made = done(folder / "run", "--chat", "a", "--tokenizer", tmp_path / "tokenizer.bin")
    assert (made.returncode, made.stderr) == (2, "run: --chat: this model has no form of conversation; use --prompt\n")


@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake")
def test_cmake_builds_it_too(folder: Path, tmp_path: Path) -> None:
    flags = "-DCMAKE_C_FLAGS=-O0 -DSD_ONLY_PORTABLE -Werror"
    quiet("cmake", "-S", folder, "-B", tmp_path, flags, "-DCMAKE_BUILD_TYPE=None")
    quiet("cmake", "--build", tmp_path)
    weights = ("--weights", folder / "weights.bin", "--tokenizer", folder / "tokenizer.bin")
    command = ("--prompt", "It's", "--tokens", "5")
    assert done(tmp_path / "run", *command, *weights).stdout == done(folder / "run", *command).stdout


EXAMPLE = Path(__file__).parents[3] / "examples" / "c" / "embed.c"


def test_the_example_embeds_the_library(folder: Path, tmp_path: Path) -> None:
    """As its README says, from another folder; what it writes is what `run` does."""
    assert len(EXAMPLE.read_text().splitlines()) <= 60
    library = [folder / "libmodel.so", f"-Wl,-rpath,{folder}"]
    quiet(*compiler(), *FLAGS, "-Werror", f"-I{folder}", EXAMPLE, *library, "-o", tmp_path / "embed")
    made = done(tmp_path / "embed", folder, "It's")
    assert made.returncode == 0
    text, told = made.stdout.rstrip("\n").rsplit("\n", 1)
    assert text == done(folder / "run", "--prompt", "It's", "--tokens", "32").stdout.removesuffix("\n")
    assert re.fullmatch(r"\d+ tokens, \d+ spikes", told)
    assert (
        done(tmp_path / "embed", tmp_path, "a").stderr
        == f"embed: {tmp_path}/tokenizer.bin: No such file or directory\n"
    )
