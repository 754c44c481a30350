"""The emitted program under the sanitizers, over models of every kind, on one thread and several."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from sdllm.backends.c.build import FLAGS, OBJECTS, compiler

from ...toys import toy_decoder
from .common import emit
from .test_models import ALL

CROWD = Path(__file__).parent / "crowd.c"
SANITIZERS = {"address": ["-fsanitize=address,undefined"], "thread": ["-fsanitize=thread"]}


@pytest.fixture(scope="module", params=SANITIZERS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """Flags, and the objects that models share, under one sanitizer."""
    flags = [*FLAGS, "-O1", "-g", "-fno-sanitize-recover=all", *SANITIZERS[request.param]]
    out = tmp_path_factory.mktemp(request.param)
    folder = emit(*toy_decoder(1), out)
    objects = []
    for name in [n for n in OBJECTS if n != "model"] + ["run"]:
        objects.append(str(out / f"{name}.o"))
        subprocess.run([*compiler(), *flags, "-c", str(folder / f"{name}.c"), "-o", objects[-1]], check=True)
    return flags, objects


def crowd(folder: Path, times: int, flags: list[str], objects: list[str]) -> None:
    """Build crowd.c on the model and let it run."""
    program = str(folder / "crowd")
    files = [str(CROWD), str(folder / "model.c"), *objects]
    subprocess.run([*compiler(), *flags, f"-I{folder}", *files, "-lm", "-lpthread", "-o", program], check=True)
    command = [program, str(folder / "weights.bin"), str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["dense", "event", "add"])
@pytest.mark.parametrize("model", ALL)
def test_clean(model: str, kernels: str, shared: tuple[list[str], list[str]], tmp_path: Path) -> None:
    flags, objects = shared
    choices: dict[str, Any] = ALL[model]
    folder = emit(*toy_decoder(1, **choices), tmp_path, kernels=kernels)
    program = str(folder / "run")
    subprocess.run(
        [*compiler(), *flags, str(folder / "model.c"), *objects, "-lm", "-lpthread", "-o", program], check=True
    )
    for isa in ("portable", ""):
        for threads in "13":
            command = [program, "--ids", "1,2,3,4,5", "--tokens", "4", "--stats", "--threads", threads, "--isa", isa]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_crowd_is_clean(shared: tuple[list[str], list[str]], tmp_path: Path) -> None:
    flags, objects = shared
    crowd(emit(*toy_decoder(1, spiked_attention=True), tmp_path), 300, flags, objects[:-1])


def test_a_crowd_gives_the_bits_of_one_thread(tmp_path: Path) -> None:
    folder = emit(*toy_decoder(1, spiked_attention=True), tmp_path)
    sources = [str(folder / f"{name}.c") for name in OBJECTS if name != "model"]
    crowd(folder, 300, [*FLAGS, "-O1", "-DSD_ONLY_PORTABLE"], sources)
