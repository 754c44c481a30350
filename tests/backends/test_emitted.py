"""What the simulator writes: complete without sdllm, the same bytes each time, no weights but its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sdllm.backends.container import PROGRAM, WEIGHTS, write_program
from sdllm.backends.reference import ReferenceBackend
from sdllm.backends.simulator import SimulatorBackend
from sdllm.backends.simulator.run import generate, pick
from sdllm.backends.simulator.runner import SimulatorRunner
from sdllm.ir import Builder, Loc, Op, Program, Store, Tensor

from ..ir.samples import ODD_LOCS
from ..toys import toy_decoder

EMIT = """
import sys
from pathlib import Path
from sdllm.backends.simulator import SimulatorBackend
from tests.toys import toy_decoder
SimulatorBackend().emit(*toy_decoder(spiked_attention=True), Path(sys.argv[1]), {})
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Program and weights with the simulator's folder beside them."""
    out = tmp_path_factory.mktemp("artifact")
    program, store = toy_decoder(spiked_attention=True)
    write_program(out, program, store)
    SimulatorBackend().emit(program, store, out / "simulator", {})
    return out


@pytest.fixture(scope="module")
def only_numpy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which nothing but the standard library and numpy can be imported (with python -S)."""
    folder = tmp_path_factory.mktemp("site")
    installed = Path(np.__file__).parent
    for package in (installed, *installed.parent.glob("numpy.libs")):
        (folder / package.name).symlink_to(package)
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}


def run(artifact: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", str(artifact / "simulator" / "run.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_isolated_environment_is_isolated(only_numpy: dict[str, str]) -> None:
    for package, there in (("numpy", True), ("sdllm", False), ("torch", False), ("safetensors", False)):
        command = [sys.executable, "-S", "-c", f"import {package}"]
        assert (subprocess.run(command, env=only_numpy, capture_output=True, check=False).returncode == 0) == there


def test_runs_with_numpy_alone(artifact: Path, only_numpy: dict[str, str]) -> None:
    done = run(artifact, only_numpy, "--ids", "1,2,3", "--steps", "6", "--stats")
    assert done.returncode == 0, done.stderr
    ids, tokens, *stats = done.stdout.splitlines()
    runner = SimulatorRunner(artifact / "simulator")
    assert [int(i) for i in ids.split(",")] == generate(runner.model, [1, 2, 3], 6)
    assert tokens == "8 tokens"
    assert [line.split(":")[0] for line in stats] == [c.module for c in runner.stats().counts]


def test_decodes_as_the_reference_does(artifact: Path) -> None:
    reference = ReferenceBackend().load(artifact / "reference")
    ids = [1, 2, 3]
    for _ in range(6):
        ids.append(int(reference.run(np.array([ids]))["logits"][0, -1].argmax()))
    assert generate(SimulatorRunner(artifact / "simulator").model, [1, 2, 3], 6) == ids[3:]


def test_sampling_follows_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = np.log(np.array([0.6, 0.3, 0.1]))
    drawn = np.bincount([pick(logits, 1.0, rng) for _ in range(2000)], minlength=3) / 2000
    np.testing.assert_allclose(drawn, [0.6, 0.3, 0.1], atol=0.05)
    assert {pick(logits, 0.0, rng) for _ in range(20)} == {0}


@pytest.mark.parametrize("arguments", [["--ids", "1,x"], ["--steps", "1"]])
def test_a_wrong_call_is_2(artifact: Path, only_numpy: dict[str, str], arguments: list[str]) -> None:
    assert run(artifact, only_numpy, *arguments).returncode == 2


def test_without_logits_there_is_nothing_to_decode(tmp_path: Path, only_numpy: dict[str, str]) -> None:
    b, store = Builder(), Store()
    ids = b.input("ids", Tensor("i64", ("B", "S")))
    table = b.weight(store.put_float("table", np.eye(4)))
    SimulatorBackend().emit(
        b.program({"hidden": b.one("nn.embed", ids, weights=[table])}), store, tmp_path / "simulator", {}
    )
    done = run(tmp_path, only_numpy, "--ids", "1")
    assert (done.returncode, "hidden" in done.stderr) == (2, True)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for seed in "12":
        out = tmp_path / seed / "simulator"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", EMIT, str(out)], cwd=root, env=environment, check=True)
    first, second = (files(tmp_path / seed) for seed in "12")
    assert first == second
    assert {"simulator/model.py", "simulator/run.py", f"simulator/{WEIGHTS}"} <= first.keys()


def test_the_text_shows_each_op(artifact: Path) -> None:
    program, _ = toy_decoder(spiked_attention=True)
    text = (artifact / "simulator" / "model.py").read_text()
    assert text.count("        # %") == len(program.ops)
    assert '# ==== "layers.1.mlp.down", "modeling_toy.py:1" ====' in text


def test_weights_are_written_once(artifact: Path) -> None:
    assert not (artifact / "simulator" / WEIGHTS).exists()
    assert not (artifact / "simulator" / PROGRAM).exists()


def test_weights_beside_that_are_another_programs_are_not_used(artifact: Path, tmp_path: Path) -> None:
    shutil.copy(artifact / PROGRAM, tmp_path)
    shutil.copy(artifact / WEIGHTS, tmp_path)
    other = toy_decoder(seed=5)
    SimulatorBackend().emit(*other, tmp_path / "simulator", {})
    assert (tmp_path / "simulator" / WEIGHTS).exists()
    write_program(tmp_path, *other)
    SimulatorBackend().emit(*other, tmp_path / "simulator", {})
    assert not (tmp_path / "simulator" / WEIGHTS).exists()
    assert SimulatorBackend().load(tmp_path / "simulator").run(np.array([[1]]))["logits"].shape == (1, 1, 37)


def test_weights_of_another_program_are_refused(tmp_path: Path) -> None:
    SimulatorBackend().emit(*toy_decoder(), tmp_path, {})
    write_program(tmp_path, *toy_decoder(seed=5))
    with pytest.raises(ValueError, match="another program"):
        SimulatorBackend().load(tmp_path)


def test_missing_weights_are_said(tmp_path: Path) -> None:
    SimulatorBackend().emit(*toy_decoder(), tmp_path / "simulator", {})
    (tmp_path / "simulator" / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match="no weights"):
        SimulatorBackend().load(tmp_path / "simulator")


def test_an_op_without_a_kernel_is_named() -> None:
    program, _ = toy_decoder()
    odd = Program(
        program.inputs,
        (*program.ops, Op("nn.unheard_of", (), (), loc=Loc("model.odd"))),
        program.outputs,
        program.weights,
        program.states,
    )
    assert SimulatorBackend().supports(odd) == ["nn.unheard_of at model.odd: the simulator has no kernel for it"]
    with pytest.raises(Exception, match=r"nn\.unheard_of at model\.odd"):
        SimulatorBackend().emit(odd, Store(), Path("/nowhere"), {})


@pytest.mark.parametrize("backend", [SimulatorBackend(), ReferenceBackend()], ids=lambda b: b.name)
def test_unknown_options_are_refused(backend, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=f"the {backend.name} backend has no option 'fast'"):
        backend.emit(*toy_decoder(), tmp_path, {"fast": "1"})


def test_names_and_locations_cannot_break_the_text(tmp_path: Path) -> None:
    """Values named like Python's words and the frame's variables, and a module path with quotes and newlines."""
    b = Builder()
    b.input("ids", Tensor("i64", ("B", "S")))
    names = ["class", "self", "w", "state", "np", "a.b", "a_b", "9", "spikes"]
    inputs = [b.input(name, Tensor("f32", ("B", "S", 2))) for name in names]
    total = inputs[0]
    for value, loc in zip(inputs[1:], ODD_LOCS * 3, strict=False):
        total = b.one("nn.add", total, value, loc=loc)
    SimulatorBackend().emit(b.program({"it's": total}), Store(), tmp_path, {})
    given = {name: np.full((1, 1, 2), 2.0**i, dtype=np.float32) for i, name in enumerate(names)}
    outputs = SimulatorRunner(tmp_path).model.forward({"ids": np.zeros((1, 1), dtype=np.int64), **given})
    assert outputs["it's"].tolist() == [[[2.0 ** len(names) - 1] * 2]]
