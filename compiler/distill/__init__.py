"""Distillation: from a teacher and text to a student of binary spikes, in a folder that `compile` takes."""

from .run import Done, distill
from .settings import SPAD, Settings, parse_terms

__all__ = ["SPAD", "Done", "Settings", "distill", "parse_terms"]
