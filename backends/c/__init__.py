"""The C backend."""

from .backend import CBackend

__all__ = ["CBackend"]
