"""weights.bin: what is damaged, cut, or another program's is refused before it is used."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from sdllm.backends.c.build import FLAGS, OBJECTS, compiler
from sdllm.backends.c.runner import CRunner
from sdllm.backends.c.weightfile import checksum

from ...toys import toy_decoder
from .common import emit

FUZZ = Path(__file__).parent / "fuzz.c"
CHECKED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit(*toy_decoder(1), tmp_path_factory.mktemp("weights"))


def damaged(folder: Path, out: Path, content: bytes) -> Path:
    """The same model with other weights."""
    out.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.suffix in (".c", ".h", ".json") or path.name == "Makefile":
            (out / path.name).write_bytes(path.read_bytes())
    (out / "weights.bin").write_bytes(content)
    return out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda b: b"", "is no weights file of sdllm"),
        (lambda b: b"GGUF" + b[4:], "is no weights file of sdllm"),
        (lambda b: b[:8] + b"\x02" + b[9:], "is of another version"),
        (lambda b: b[:24] + b"\x00" * 32 + b[56:], "holds the weights of another program"),
        (lambda b: b[:-1], "is cut short"),
        (lambda b: b[:100], "is cut short"),
        (lambda b: b + b"\x00", "is cut short, or longer than it says"),
        (lambda b: b[:70] + bytes([b[70] ^ 1]) + b[71:], "has a damaged head"),
        (lambda b: b[:-9] + bytes([b[-9] ^ 128]) + b[-8:], "is damaged: a checksum differs"),
    ],
)
def test_damage_is_refused_with_a_reason(change, reason: str, folder: Path, tmp_path: Path) -> None:
    content = (folder / "weights.bin").read_bytes()
    with pytest.raises(Exception, match=reason):
        CRunner(damaged(folder, tmp_path, change(content)))


def test_another_programs_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    other = emit(*toy_decoder(1, seed=1), tmp_path / "other")
    with pytest.raises(Exception, match="holds the weights of another program"):
        CRunner(damaged(folder, tmp_path / "mixed", (other / "weights.bin").read_bytes()))


def test_no_weights_at_all(folder: Path, tmp_path: Path) -> None:
    made = damaged(folder, tmp_path, b"")
    (made / "weights.bin").unlink()
    with pytest.raises(Exception, match=r"weights\.bin.*No such file"):
        CRunner(made)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 64, 1000])
def test_the_checksum_sees_every_bit(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    sums = {checksum(data), checksum(np.append(data, np.uint8(0)))}
    for bit in range(8 * size):
        other = data.copy()
        other[bit // 8] ^= np.uint8(1 << bit % 8)
        sums.add(checksum(other))
    assert len(sums) == 8 * size + 2


def fuzz(folder: Path, out: Path, times: int, *flags: str) -> None:
    """Build the fuzzer on the model and let it run."""
    sources = [str(folder / f"{name}.c") for name in OBJECTS if name != "kernels"]
    quick = [str(folder / "kernels.c"), "-DSD_ONLY_PORTABLE"]
    command = [*compiler(), *FLAGS, "-O1", *flags, f"-I{folder}", str(FUZZ), *sources, *quick, "-lm", "-lpthread"]
    subprocess.run([*command, "-o", str(out / "fuzz")], check=True)
    done = subprocess.run(
        [str(out / "fuzz"), str(folder / "weights.bin"), str(out / "copy.bin"), str(times), "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_some_damaged_files(folder: Path, tmp_path: Path) -> None:
    fuzz(folder, tmp_path, 500)


@pytest.mark.slow
def test_many_damaged_files_under_sanitizers(folder: Path, tmp_path: Path) -> None:
    fuzz(folder, tmp_path, 10_000, *CHECKED)
