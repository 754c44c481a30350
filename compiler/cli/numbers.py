"""Numbers as people write them on a command line."""

from __future__ import annotations

import re

TIMES = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def count(option: str, text: str) -> int:
    """`500k`, `1.5M` or `20000` as a number. Raises InputError."""
    from ..errors import InputError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmb]?)", text.strip().lower())
    if match is None or float(match[1]) == 0:
        raise InputError(f"{option} {text}: give a number above 0, such as 500k or 2M")
    return round(float(match[1]) * TIMES[match[2]])
