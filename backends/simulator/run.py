"""Runs the model beside this file: `python run.py --ids 1,2,3 --steps 20`. Needs numpy alone.

Prints token ids; sdllm's own `run` has the tokenizer.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray


def load_package(folder: Path, name: str) -> ModuleType:
    """Import a folder as a package under a name of the caller's choice, and give its module `model`."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no emitted model")
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return importlib.import_module(f"{name}.model")


def pick(logits: NDArray[Any], temperature: float, rng: np.random.Generator) -> int:
    """The most likely token, or one drawn at a temperature above 0."""
    if temperature <= 0:
        return int(logits.argmax())
    powers = np.exp((logits - logits.max()) / temperature)
    return int(rng.choice(len(powers), p=powers / powers.sum()))


def generate(model: Any, ids: list[int], steps: int, temperature: float = 0.0, seed: int = 0) -> list[int]:
    """`steps` tokens after a prompt: one prefill, then one token a call."""
    rng = np.random.default_rng(seed)
    state = model.new_state(1)
    new, made = ids, list[int]()
    for _ in range(steps):
        logits = model.run(np.array([new], dtype=np.int64), state)["logits"]
        made.append(pick(logits[0, -1].astype(np.float64), temperature, rng))
        new = made[-1:]
    return made


def show_stats(model: Any) -> None:
    """One line for each spiked product."""
    print(f"{model.tokens} tokens")
    for c in model.counts.values():
        rate = c.nonzero / c.values if c.values else 0.0
        saved = c.additions / c.macs if c.macs else 0.0
        print(
            f"{c.module or '%' + c.op}: {c.spikes} spikes, {rate:.1%} of counts not 0, {c.additions} additions"
            f" ({saved:.3f} a multiply-add of the dense product), by step {' '.join(map(str, c.steps))}"
        )


def main() -> int:
    """The command line; 2 if the call is wrong."""
    parser = argparse.ArgumentParser(description="Continue a prompt of token ids.")
    parser.add_argument("--ids", required=True, help="prompt, such as 1,2,3")
    parser.add_argument("--steps", type=int, default=20, help="tokens to make")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: always the most likely token")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stats", action="store_true", help="print the spikes of each product")
    given = parser.parse_args()
    try:
        ids = [int(i) for i in given.ids.split(",")]
    except ValueError:
        parser.error(f"--ids: '{given.ids}' is no list of integers")
    module = load_package(Path(__file__).resolve().parent, "spike_model")
    if "logits" not in module.OUTPUTS:
        parser.error(f"this model has no logits to decode from, but {', '.join(module.OUTPUTS)}")
    model = module.Model()
    print(",".join(map(str, generate(model, ids, given.steps, given.temperature, given.seed))))
    if given.stats:
        show_stats(model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
