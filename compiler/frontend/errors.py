"""Errors of the frontend."""

from __future__ import annotations

from ..errors import InputError


class UnsupportedOp(InputError):
    """A node of the captured graph that no lowering rule covers."""
