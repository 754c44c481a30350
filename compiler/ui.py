"""What a long run tells a person: stages and progress on stderr, where it is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Quiet:
    """Says nothing, but remembers how long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Work of one kind."""
        began = time.perf_counter()
        self.begin(what)
        try:
            yield
        finally:
            self.seconds[what] = round(self.seconds.get(what, 0.0) + time.perf_counter() - began, 2)
            self.end(what)

    def begin(self, what: str) -> None:
        """A stage starts."""

    def end(self, what: str) -> None:
        """A stage is over, or failed."""

    def progress(self, done: int, total: int, what: str) -> None:
        """`done` of `total` within the stage."""

    def close(self) -> None:
        """No more is to come."""


class Terminal(Quiet):
    """A bar with the time left, on stderr."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bars: Progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._stage = ""
        self._bars.start()

    def begin(self, what: str) -> None:
        self._stage = what
        self._tasks[what] = self._bars.add_task(what, total=None)

    def end(self, what: str) -> None:
        self._bars.remove_task(self._tasks.pop(what))
        self._bars.console.print(f"  {what} ({self.seconds[what]:.1f} s)", highlight=False)

    def progress(self, done: int, total: int, what: str) -> None:
        if self._stage in self._tasks:
            description = f"{self._stage}: {what}"
            self._bars.update(self._tasks[self._stage], completed=done, total=total, description=description)

    def close(self) -> None:
        self._bars.stop()


def reporter() -> Quiet:
    """A terminal's, or a quiet one where stderr is a file or a pipe."""
    return Terminal() if sys.stderr.isatty() else Quiet()
