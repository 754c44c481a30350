"""Spike codes by the short names that options of passes give them."""

from __future__ import annotations

from dataclasses import fields

from ..ir import CODES, Code, IRError, parse_code
from .base import PassError


def named_code(text: str, *, unsigned: bool = False) -> Code:
    """`digit_ramp:6:4:10` as the code digit_ramp{high=6, shift=4, low=10}. Raises PassError."""
    name, *values = text.split(":")
    names = [f.name for f in fields(CODES[name])] if name in CODES else []
    inner = ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=False))
    try:
        if len(values) > len(names):
            raise IRError(f"{name} has the fields {', '.join(names)}" if names else f"there is no code '{name}'")
        code = parse_code(f"{name}{{{inner}}}")
    except IRError as error:
        raise PassError(f"code={text}: {error}") from error
    if code.lo >= 0 and not unsigned:
        raise PassError(f"code={text}: has no negative counts, which the symmetric grid needs")
    return code
