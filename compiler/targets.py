"""Backends as a user names them: `c`, or with options `c{kernels=add,floats=f16}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..backends.interface import Backend, Configurable
from ..backends.registry import backend
from ..passes import split_pipeline
from .errors import InputError


@dataclass(frozen=True)
class Target:
    """A backend and what it is told."""

    name: str
    backend: Backend
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ",".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name}{{{given}}}" if given else self.name


def targets(texts: Sequence[str], **common: str) -> list[Target]:
    """The backends of some texts, each checked with its options. `common` options go to those that have them, one with
    a backend's name before it (`onnx_steps`) to that backend alone.

    Raises NotFound for an unknown backend, PassError for text that cannot be read, IRError for a wrong option, and
    InputError for a backend given twice or a common option that none of them has.
    """
    found = [
        Target(name, backend(name), options) for text in texts for name, options in split_pipeline(text, "backends")
    ]
    names = [target.name for target in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"backend {name} is given twice")
    for flag, value in common.items():
        own, _, option = flag.rpartition("_")
        those = [t.name for t in found if option in _known(t) and own in ("", t.name)]
        if not those:
            given = f"--{flag.replace('_', '-')} {value}"
            raise InputError(f"{given}: no such option has backend {' or '.join(names) or '(none)'}")
        found = [replace(t, options={option: value, **t.options}) if t.name in those else t for t in found]
    for target in found:
        if isinstance(target.backend, Configurable):
            target.backend.check(target.options)
        elif target.options:
            raise InputError(f"backend {target.name} has no option '{next(iter(target.options))}': it takes none")
    return found


def _known(target: Target) -> Mapping[str, str]:
    return target.backend.options if isinstance(target.backend, Configurable) else {}
