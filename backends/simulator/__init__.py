"""The simulator backend."""

from .backend import SimulatorBackend

__all__ = ["SimulatorBackend"]
