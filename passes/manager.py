"""The pass manager: runs a pipeline, verifies after each pass, times it, and tells whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..ir import IRError, Program, verify
from .base import Context, Note, Pass, PassError


@dataclass(frozen=True, slots=True)
class Step:
    """One pass that ran: what it got, what it made, how long it took and what it said."""

    index: int
    ran: Pass
    before: Program
    after: Program
    seconds: float
    notes: tuple[Note, ...] = field(default=())

    @property
    def changed(self) -> bool:
        """Whether the program is another one now."""
        return self.before != self.after


Listener = Callable[[Step], None]


def select(passes: Sequence[Pass], start_from: str | None = None, stop_after: str | None = None) -> list[Pass]:
    """The part of a pipeline from one pass up to and including another. Raises PassError for a name not in it."""
    names = [p.name for p in passes]
    for name in filter(None, (start_from, stop_after)):
        if name not in names:
            raise PassError(f"the pipeline has no pass '{name}' (it runs: {', '.join(names)})")
    if start_from and stop_after and names.index(start_from) >= len(names) - names[::-1].index(stop_after):
        raise PassError(f"'{start_from}' comes after '{stop_after}' in the pipeline: nothing would run")
    start = names.index(start_from) if start_from else 0
    stop = len(names) - names[::-1].index(stop_after) if stop_after else len(names)
    return list(passes[start:stop])


def run_pipeline(program: Program, passes: Sequence[Pass], ctx: Context, listeners: Sequence[Listener] = ()) -> Program:
    """Apply passes in order, verifying after each; the store keeps the weights of the first program and the last.

    Raises PassError if a pass cannot do its work, or has made a program that does not verify; it names the pass.
    """
    origin = verify(program)
    for index, one in enumerate(passes):
        said, began = len(ctx.notes), time.perf_counter()
        try:
            after = verify(one.apply(program, ctx))
        except PassError as error:
            raise PassError(f"pass {index + 1}, {one.name}: {error}") from error
        except IRError as error:
            raise PassError(f"pass {index + 1}, {one.name}, made a program that does not verify: {error}") from error
        step = Step(index, one, program, after, time.perf_counter() - began, tuple(ctx.notes[said:]))
        program = after
        for listener in listeners:
            listener(step)
        ctx.store.keep_only(program, origin)
    return program
