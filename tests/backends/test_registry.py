"""Backends by name: ours, unknown ones, two of a name, and one that does not load."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest
from sdllm.backends import registry
from sdllm.backends.interface import Backend
from sdllm.backends.registry import NotFound, backend, find, provided

GROUP = "sdllm.backends"


class Distribution:
    def __init__(self, name: str) -> None:
        self.name, self.version = name, "1.0"


def entry(name: str, value: str, provider: str) -> EntryPoint:
    made = EntryPoint(name, value, GROUP)
    vars(made)["dist"] = Distribution(provider)
    return made


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points in place of the installed ones."""
    entries: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in entries if e.group == group])
    provided.cache_clear()
    yield entries
    provided.cache_clear()


@pytest.mark.parametrize("name", ["reference", "simulator"])
def test_ours_are_found(name: str) -> None:
    made = backend(name)
    assert isinstance(made, Backend)
    assert made.name == name
    assert made.summary


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"no 'simulater' in sdllm\.backends; there is: simulator"):
        backend("simulater")


def test_a_name_like_no_other_brings_all() -> None:
    with pytest.raises(NotFound, match="reference, simulator"):
        backend("zzz")


def test_a_clash_names_both(plugins: list[EntryPoint]) -> None:
    plugins += [entry("mine", "one:A", "package-one"), entry("mine", "two:B", "package-two")]
    with pytest.raises(NotFound, match="both package-one and package-two provide 'mine'"):
        find(GROUP, "mine")


def test_one_provider_seen_twice_is_no_clash(plugins: list[EntryPoint]) -> None:
    plugins += [entry("mine", "math:pi", "package-one")] * 2
    assert find(GROUP, "mine") > 3


def test_a_plugin_that_fails_says_why_and_spares_the_others(plugins: list[EntryPoint]) -> None:
    plugins += [entry("bad", "no_such_module:A", "package-bad"), entry("good", "math:pi", "package-good")]
    assert find(GROUP, "good") > 3
    with pytest.raises(
        NotFound, match=r"bad \(from package-bad 1\.0\) does not load: No module named 'no_such_module'"
    ):
        find(GROUP, "bad")
