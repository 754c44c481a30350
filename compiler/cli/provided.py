"""What a group of entry points has, for people and machines: who provides it, and why one does not load."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def listed(group: str, describe: Callable[[str], dict[str, Any]], names: Iterable[str] = ()) -> list[dict[str, Any]]:
    """An entry for each name of the group: name, provider, version, `error` (empty if it loads), and what `describe`
    says of it. Raises NotFound if `names` has one that there is not."""
    from ...backends.registry import NotFound, find, provided

    known = provided(group)
    found = []
    for name in names or known:
        if name not in known:
            find(group, name)  # says which there are
        one = known[name]
        entry = {"name": name, "provider": one.provider, "version": one.version, "error": ""}
        try:
            found.append({**entry, **describe(name)})
        except NotFound as error:
            found.append({**entry, "error": str(error)})
    return found


def provider(entry: dict[str, Any]) -> str:
    """Who provides an entry, and at which version."""
    return f"{entry['provider']} {entry['version']}"
