"""Is the lowered program the model? Logits of a randomly initialised tiny model against those of its program."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from ....ir import Program, Store
from ....ir.interpreter import Interpreter
from ...sources import Source
from ...sources.skeleton import architecture, quiet
from ..adapters import position_offset
from ..capture import OUTPUTS, capture
from ..lower import lower
from .families import Family

T = torch.Tensor
BOUND = 1e-4
CONTINUED = 12  # tokens fed one at a time after a prefill


@dataclass(frozen=True)
class Case:
    """One input: ids [N,S], mask [N,S] with 0 for padding, 0-based positions [N,S]. The first `past` tokens are
    prefilled and the rest fed one at a time; 0 runs all at once."""

    name: str
    ids: T
    mask: T
    positions: T
    past: int = 0


@dataclass(frozen=True)
class Subject:
    """A family made flesh: its program, and what transformers computes in each case."""

    family: Family
    program: Program
    store: Store
    kinds: int
    expected: tuple[tuple[Case, dict[str, T]], ...]


@dataclass(frozen=True)
class Result:
    """What the checks of a family found: the largest difference and the largest output, over so many cases."""

    cases: int
    error: float
    largest: float


def prepare(family: Family) -> Subject:
    """Build, randomise, capture and lower a family."""
    config = family.build()
    with quiet():
        model = architecture(config)(config).eval()
        model.set_attn_implementation("eager")
    randomise(model)
    tensors = {name: t.detach().numpy() for name, t in model.state_dict().items()}
    aliases = dict(model.all_tied_weights_keys)
    source = Source(config, model, tensors, {}, {}, (), lambda: None, aliases)
    store = Store()
    program = lower(capture(source, rope_length=family.rope_length), store)
    inputs = cases(family, config.vocab_size, config.pad_token_id or 0)
    expected = tuple((item, model_outputs(model, item)) for item in inputs)
    return Subject(family, program, store, getattr(config, "type_vocab_size", 0), expected)


def randomise(model: torch.nn.Module, seed: int = 7) -> None:
    """Every parameter from a seeded normal: matrices keep the size of what they pass on, gains lie around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() < 2 or "norm" in name.lower():
                centre = 0.0 if name.endswith("bias") else 1.0
                p.copy_(centre + 0.3 * noise)
            else:
                p.copy_(noise * max(0.1, p.shape[-1] ** -0.5))


def cases(family: Family, vocabulary: int, pad: int) -> Iterator[Case]:
    """Batches of 1 and 3, padded left, right and not, of each length; then token by token after a prefill."""
    for length in family.lengths:
        yield case(f"1x{length}", vocabulary, pad, 1, length)
        yield case(f"3x{length}", vocabulary, pad, 3, length)
        if length > 2:
            yield case(f"3x{length}, padded left", vocabulary, pad, 3, length, "left")
            yield case(f"3x{length}, padded right", vocabulary, pad, 3, length, "right")
    length = max(min(family.lengths), 17)
    yield case("token by token", vocabulary, pad, 1, length, past=length - CONTINUED)
    yield case("token by token, padded left", vocabulary, pad, 3, length, "left", past=length - CONTINUED)


def case(name: str, vocabulary: int, pad: int, batch: int, length: int, side: str = "", past: int = 0) -> Case:
    """One case; with a side, all rows but the last are padded there, by different amounts."""
    generator = torch.Generator().manual_seed(1000 * batch + length)
    ids = torch.randint(pad + 1, vocabulary - 2, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(batch - 1 if side else 0):
        hidden = min(length - 1, 1 + 3 * row)
        mask[row, slice(0, hidden) if side == "left" else slice(length - hidden, length)] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return Case(name, ids * mask + pad * (1 - mask), mask, positions, past)


def types_of(ids: T, kinds: int) -> T:
    """Token types that are not all 0, where there are several kinds."""
    return ids % 2 if kinds > 1 else torch.zeros_like(ids)


def model_outputs(model: PreTrainedModel, item: Case) -> dict[str, T]:
    """What transformers computes. Families that derive positions from padding are left to do so."""
    takes = inspect.signature(model.forward).parameters
    given = {"input_ids": item.ids, "attention_mask": item.mask}
    if "position_ids" in takes and not position_offset(model):
        given["position_ids"] = item.positions
    kinds = getattr(model.config, "type_vocab_size", 0)
    if kinds:
        given["token_type_ids"] = types_of(item.ids, kinds)
    with torch.no_grad(), quiet():
        out = model(**given)
    return {OUTPUTS[key]: out[key] for key in OUTPUTS if out.get(key) is not None}


def program_outputs(subject: Subject, interpreter: Interpreter, item: Case) -> dict[str, T]:
    """What the program computes, all at once or token by token."""
    types, total = types_of(item.ids, subject.kinds), item.ids.shape[1]
    if not item.past or not subject.program.states:
        return interpreter.run({"ids": item.ids, "positions": item.positions, "mask": item.mask, "types": types})
    state = interpreter.new_state(item.ids.shape[0])
    pieces: list[dict[str, T]] = []
    for start, stop in [(0, item.past), *((i, i + 1) for i in range(item.past, total))]:
        inputs = {
            "ids": item.ids[:, start:stop],
            "positions": item.positions[:, start:stop],
            "mask": item.mask[:, :stop],
        }
        pieces.append(interpreter.run(inputs, state))
    return {name: torch.cat([p[name] for p in pieces], dim=1) for name in pieces[0]}


def difference(expected: dict[str, T], found: dict[str, T], mask: T) -> tuple[float, float]:
    """The largest difference on real tokens, and the largest value there. Raises KeyError for a missing output."""
    worst = largest = 0.0
    for name, want in expected.items():
        have = found[name]
        real = mask.bool() if want.dim() == 3 else mask[:, 0].bool()
        worst = max(worst, float((want - have)[real].abs().max()) if real.any() else 0.0)
        largest = max(largest, float(want[real].abs().max()) if real.any() else 0.0)
    return worst, largest


def check_family(subject: Subject) -> Result:
    """Run every case of a family."""
    interpreter = Interpreter(subject.program, subject.store)
    worst = largest = 0.0
    count = 0
    for item, expected in subject.expected:
        error, size = difference(expected, program_outputs(subject, interpreter, item), item.mask)
        if not error <= BOUND:  # also true of NaN
            return Result(count, float("nan") if error != error else error, size)
        worst, largest, count = max(worst, error), max(largest, size), count + 1
    return Result(count, worst, largest)
