"""Backends, passes and recipes by name: entry points, loaded when asked for, clashes named.

A package provides one by an entry point, ours like anyone's:

    [project.entry-points."sdllm.backends"]
    mine = "my_package:MyBackend"
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .interface import Backend


class NotFound(LookupError):
    """No provider of that name, or one that fails to load; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Provided:
    """One name in a group: who provides it, at which version, and how to load it."""

    name: str
    provider: str
    version: str
    entry: EntryPoint

    def load(self) -> Any:
        """Import and give the object. Raises NotFound with the reason if that fails."""
        try:
            return self.entry.load()
        except Exception as error:  # a plugin may fail in any way, and must not take the others along
            raise NotFound(f"{self.name} (from {self.provider} {self.version}) does not load: {error}") from error


@cache
def provided(group: str) -> dict[str, Provided]:
    """Everything in a group, by name. Raises NotFound if two packages provide one name, naming both."""
    found: dict[str, Provided] = {}
    for entry in sorted(entry_points(group=group), key=lambda e: (e.name, e.value)):
        dist = entry.dist
        one = Provided(entry.name, dist.name if dist else "?", dist.version if dist else "?", entry)
        other = found.setdefault(entry.name, one)
        if other.entry.value != entry.value:
            raise NotFound(
                f"{group}: both {other.provider} and {one.provider} provide '{one.name}': uninstall one of them"
            )
    return found


def find(group: str, name: str) -> Any:
    """Load what a group has under a name. Raises NotFound, with the nearest names."""
    known = provided(group)
    if name not in known:
        near = difflib.get_close_matches(name, known, 3) or sorted(known)
        raise NotFound(f"no '{name}' in {group}; there is: {', '.join(near)}")
    return known[name].load()


def backend(name: str) -> Backend:
    """The backend of that name. Raises NotFound, also where what is provided is no backend."""
    made = find("sdllm.backends", name)
    one = provided("sdllm.backends")[name]
    try:
        made = made() if isinstance(made, type) else made
    except Exception as error:
        raise NotFound(f"{name} (from {one.provider} {one.version}) does not load: {error}") from error
    if not isinstance(made, Backend):
        raise NotFound(f"{name} (from {one.provider} {one.version}) is no backend: {_missing(made)}")
    return made


def _missing(made: Any) -> str:
    wanted = ("name", "summary", "supports", "emit", "load")
    return f"{type(made).__name__} has no {', '.join(w for w in wanted if not hasattr(made, w))}"
