"""A program as something to walk: blocks within blocks by module path, what follows what, and what that says."""

from .analysis import Analysis, analyse
from .tree import Block, tree

__all__ = ["Analysis", "Block", "analyse", "tree"]
