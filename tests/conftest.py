"""A tiny Llama on disk, with a tokenizer trained on the spot, and one compilation of it that many tests look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sdllm.compiler.cli import main

TEXT = "the cat sat on the mat and the dog ran after the cat until both of them sat on the mat again. " * 40


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The models are too small for more, and threads of several test processes would wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDLLM_THREADS", "1")
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves it: 2 layers, d 32, tied head, chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    bpe.train_from_iterator([TEXT], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SMALL = ["--sequences", "4", "--length", "16"]


@pytest.fixture(scope="session")
def compiled(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model under the recipe sdllm."""
    out = tmp_path_factory.mktemp("outs") / "out"
    assert main(["compile", str(tiny), "-o", str(out), *SMALL]) == 0
    return out


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line in this process: exit code, stdout, stderr."""

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in args])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def own_environment(tmp_path: Path) -> dict[str, str]:
    """Variables of an environment to install packages into, which sees those of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    here = Path(pytest.__file__).parents[1]
    (site / "here.pth").write_text(f"import site; site.addsitedir({str(here)!r})\n")
    folder = tmp_path / "env" / "bin"
    for name, module in (("pip", "pip"), ("pytest", "pytest"), ("sdllm-compile", "sdllm.compiler.cli")):
        (folder / name).write_text(f'#!/bin/sh\nexec {folder / "python"} -m {module} "$@"\n')
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PIP_NO_BUILD_ISOLATION": "0"}
