"""The op table. Importing this package enters every op."""

from . import dense, lif, spikes
from .table import OPS, Args, Attr, OpDef, Work, complete_attrs, infer_types, lookup, size

__all__ = [
    "OPS", "Args", "Attr", "OpDef", "Work", "complete_attrs", "dense", "infer_types", "lif", "lookup", "size", "spikes",
]  # fmt: skip
