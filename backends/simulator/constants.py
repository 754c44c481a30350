"""Constants of an emitted model: segments and planes, each written once however many ops share it."""

from __future__ import annotations

from ...ir import Plane, Segment
from ...ir.types import Segments


class Constants:
    """Names for segments and planes, in order of first use."""

    def __init__(self) -> None:
        self._names: dict[Segments | tuple[Plane, ...], str] = {}

    def _name(self, prefix: str, value: Segments | tuple[Plane, ...]) -> str:
        used = sum(name.startswith(prefix) for name in self._names.values())
        return self._names.setdefault(value, f"{prefix}{used}")

    def segments(self, value: Segments) -> str:
        """The name of these segments of channels."""
        return self._name("CHANNELS_", value)

    def planes(self, value: tuple[Plane, ...]) -> str:
        """The name of these membrane planes."""
        return self._name("PLANES_", value)

    def codes(self) -> list[str]:
        """Classes of the codes in use."""
        items = (item for value in self._names for item in value)
        return sorted({type(s.code).__name__ for s in items if isinstance(s, Segment)})

    def lines(self) -> list[str]:
        """Their definitions."""
        return [f"{name} = {_text(value)}" for value, name in self._names.items()]


def _text(value: Segments | tuple[Plane, ...]) -> str:
    return "(" + "".join(f"\n    {item!r}," for item in value) + "\n)"
