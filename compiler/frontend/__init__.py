"""The frontend: a Hugging Face model in, a program of the IR out."""

from .capture import Captured, capture
from .errors import UnsupportedOp
from .lower import lower

__all__ = ["Captured", "UnsupportedOp", "capture", "lower"]
