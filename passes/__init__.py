"""Rewrites of spike programs, one a file, and the manager that runs them."""

from .base import Context, Note, Pass, PassError, split_pipeline
from .manager import Listener, Step, run_pipeline, select

__all__ = ["Context", "Listener", "Note", "Pass", "PassError", "Step", "run_pipeline", "select", "split_pipeline"]
