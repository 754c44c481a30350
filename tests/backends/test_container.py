"""A program and its weights as a folder: there and back, the same bytes, and damage named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sdllm.backends.container import PROGRAM, WEIGHTS, read_program, write_program
from sdllm.backends.tensorfile import read_tensors, write_tensors
from sdllm.ir import Builder, FixedWeight, FloatWeight, GridWeight, IRError, Program, RowWeight, Store, Tensor

from ..ir.samples import random_weight

TYPES = {
    "plain": FloatWeight((3, 5)),
    "scalar": FloatWeight((1,)),
    "grid": GridWeight(4, 2, False, (3, 5)),
    "grid.with.minima": GridWeight(3, 4, True, (7, 5)),
    "rows": RowWeight(4, 3, (7, 5)),
    "fixed": FixedWeight(12, (3, 5)),
}


def some_program(order: list[str] | None = None) -> tuple[Program, Store]:
    b, store = Builder(), Store()
    ids = b.input("ids", Tensor("i64", ("B", "S")))
    for name in order or list(TYPES):
        seed = list(TYPES).index(name)
        b.weight(store.put(name, TYPES[name], random_weight(TYPES[name], seed)))
    return b.program({"x": b.one("nn.embed", ids, weights=["plain"])}), store


def test_there_and_back(tmp_path: Path) -> None:
    program, store = some_program()
    write_program(tmp_path, program, store)
    again, read = read_program(tmp_path)
    assert again == program
    for weight in program.weights.values():
        want, got = store.get(weight), read.get(weight)
        assert want.keys() == got.keys()
        for part in want:
            assert got[part].dtype == want[part].dtype
            np.testing.assert_array_equal(got[part], want[part])


def test_the_safetensors_library_reads_it(tmp_path: Path) -> None:
    program, store = some_program()
    write_program(tmp_path, program, store)
    tensors = load_file(tmp_path / WEIGHTS)
    minima = {f"grid.with.minima.{part}" for part in ("codes", "scales", "minima")}
    rows = {f"rows.{part}" for part in ("codes", "steps", "offsets", "scales")}
    assert tensors.keys() == minima | rows | {"plain", "scalar", "grid.codes", "grid.scales", "fixed.codes"}
    ours, _ = read_tensors(tmp_path / WEIGHTS)
    for name, values in tensors.items():
        np.testing.assert_array_equal(ours[name], values)
        assert ours[name].dtype == values.dtype


def test_the_order_of_weights_does_not_show(tmp_path: Path) -> None:
    write_program(tmp_path / "a", *some_program())
    write_program(tmp_path / "b", *some_program(sorted(TYPES, reverse=True)))
    tensors = [read_tensors(tmp_path / name / WEIGHTS)[0] for name in "ab"]
    assert list(tensors[0]) == list(tensors[1])
    assert all((tensors[0][name] == tensors[1][name]).all() for name in tensors[0])


def test_a_changed_weight_is_named(tmp_path: Path) -> None:
    program, store = some_program()
    write_program(tmp_path, program, store)
    tensors, _ = read_tensors(tmp_path / WEIGHTS)
    data = bytearray((tmp_path / WEIGHTS).read_bytes())
    where = bytes(data).rindex(tensors["fixed.codes"].tobytes())
    data[where] ^= 1
    (tmp_path / WEIGHTS).write_bytes(data)
    _, read = read_program(tmp_path)
    read.get(program.weights["plain"])
    with pytest.raises(IRError, match="@fixed: its bytes are not those"):
        read.get(program.weights["fixed"])


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    program, store = some_program()
    write_program(tmp_path, program, store)
    tensors, metadata = read_tensors(tmp_path / WEIGHTS)
    kept = {name: np.array(a) for name, a in tensors.items() if name != "grid.scales"}
    write_tensors(tmp_path / WEIGHTS, {n: (a.dtype, a.shape) for n, a in kept.items()}, kept.values(), metadata)
    _, read = read_program(tmp_path)
    with pytest.raises(IRError, match=r"@grid: the file has no tensor grid\.scales"):
        read.get(program.weights["grid"])


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_a_cut_file_is_refused(tmp_path: Path, keep: int) -> None:
    write_program(tmp_path, *some_program())
    path = tmp_path / WEIGHTS
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IRError, match=str(path)):
        read_program(tmp_path)


@pytest.mark.parametrize("name", [PROGRAM, WEIGHTS])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_program(tmp_path, *some_program())
    (tmp_path / name).unlink()
    with pytest.raises(IRError, match=name):
        read_program(tmp_path)


def test_two_weights_under_one_tensor_name_are_refused(tmp_path: Path) -> None:
    b, store = Builder(), Store()
    ids = b.input("ids", Tensor("i64", ("B", "S")))
    b.weight(store.put("a", TYPES["grid"], random_weight(TYPES["grid"], 0)))
    table = b.weight(store.put_float("a.codes", np.eye(3)))
    with pytest.raises(IRError, match="one tensor name"):
        write_program(tmp_path, b.program({"x": b.one("nn.embed", ids, weights=[table])}), store)


def test_tensors_are_aligned(tmp_path: Path) -> None:
    write_program(tmp_path, *some_program())
    data = (tmp_path / WEIGHTS).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    widths = {"F32": 4, "F16": 2, "I16": 2, "I8": 1, "U8": 1}
    entries = [e for name, e in header.items() if name != "__metadata__"]
    assert all(e["data_offsets"][0] % widths[e["dtype"]] == 0 for e in entries)
