"""What a pass is: a frozen dataclass whose fields are its options, and one method from program to program."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..ir import Op, Program, Store
from ..ir.interpreter import Interpreter

Watch = Callable[[Op, tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]], None]


class PassError(Exception):
    """A pass cannot do what was asked of it; the message says which module stands in the way."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a pass did, or declined to do, to one module: `--explain` prints these."""

    module: str
    text: str


@dataclass
class Context:
    """What passes may read beside the program: weights, calibration tokens i64[N, L], and the seed.

    Passes add weights to the store, and notes; `progress(done, total, what)` is told of long work. `memo` keeps what a
    pass measured, under a hash of all it depends on, for callers that run pipelines one after the other. `keep` is a
    folder for parts of long work, likewise by hash, which a pass that was stopped takes up again.
    """

    store: Store
    calibration: NDArray[np.int64] | None = None
    seed: int = 0
    notes: list[Note] = field(default_factory=list)
    progress: Callable[[int, int, str], None] = lambda done, total, what: None
    memo: dict[str, Any] = field(default_factory=dict)
    keep: Path | None = None

    def note(self, module: str, text: str) -> None:
        """Record what happened to a module."""
        self.notes.append(Note(module, text))

    def tokens(self) -> NDArray[np.int64]:
        """Calibration tokens. Raises PassError if there are none."""
        if self.calibration is None or not self.calibration.size:
            raise PassError("this pass measures the program, and there are no calibration tokens")
        return self.calibration

    def observe(self, program: Program, watch: Watch, *, batch: int = 4, sequences: int | None = None) -> None:
        """Run the program on the calibration tokens, `watch` seeing every op with operands and results."""
        tokens = torch.from_numpy(self.tokens()[:sequences])
        interpreter = Interpreter(program, self.store)
        for start in range(0, len(tokens), batch):
            self.progress(start, len(tokens), "calibration sequences")
            interpreter.run({"ids": tokens[start : start + batch]}, watch=watch)


@dataclass(frozen=True)
class Options:
    """Options with a name for all of them. Subclasses are frozen dataclasses, whose fields are the options."""

    name: ClassVar[str]

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> Self:
        """Options from their text. Raises PassError naming an unknown option or a value that is none of its type."""
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for key, text in options.items():
            if key not in known:
                raise PassError(f"{cls.name} has no option '{key}' (it has: {', '.join(known) or 'none'})")
            values[key] = _value(cls.name, key, text, known[key].default)
        return cls(**values)

    def __str__(self) -> str:
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        changed = [f"{k}={_text(v)}" for k, v in given.items()]
        return self.name + ("{" + ",".join(changed) + "}" if changed else "")


@dataclass(frozen=True)
class Pass(Options, ABC):
    """One rewrite. Subclasses are frozen dataclasses; the first line of the docstring is the summary users see."""

    exact: ClassVar[bool] = False
    """Whether outputs stay the same but for float rounding."""

    @abstractmethod
    def apply(self, program: Program, ctx: Context) -> Program:
        """A new program; the given one is left as it was. Raises PassError."""


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(owner: str, key: str, text: str, default: Any) -> Any:
    kind = str if default is MISSING else type(default)
    words = {"true": True, "false": False}
    try:
        return words[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        raise PassError(f"{owner}: {key}={text} is no {kind.__name__}") from error


_ITEM = re.compile(r"\s*([\w-]+)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")


def split_pipeline(text: str, what: str = "the pipeline") -> Iterable[tuple[str, dict[str, str]]]:
    """`a,b{x=1,y=2}` to names and option texts. Raises PassError, with what it is, where it cannot be read."""
    position = 0
    while position < len(text):
        match = _ITEM.match(text, position)
        if match is None:
            raise PassError(f"cannot read {what} at '{text[position:]}' (it reads: a,b{{option=value}},c)")
        options: dict[str, str] = {}
        for item in (match[2] or "").split(","):
            key, given, value = (part.strip() for part in item.partition("="))
            if item.strip() and not given:
                raise PassError(f"{match[1]}: '{key}' has no value (write option=value)")
            if key in options:
                raise PassError(f"{match[1]}: option '{key}' is given twice")
            if given:
                options[key] = value
        yield match[1], options
        position = match.end()
