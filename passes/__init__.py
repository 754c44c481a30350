"""Rewrites of spike programs, one a file, and the manager that runs them."""

from .base import Context, Note, Options, Pass, PassError, split_pipeline
from .manager import Listener, Step, run_pipeline, select

__all__ = [
    "Context", "Listener", "Note", "Options", "Pass", "PassError", "Step", "run_pipeline", "select", "split_pipeline",
]  # fmt: skip
