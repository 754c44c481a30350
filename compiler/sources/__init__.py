"""Sources: where a model's config, weights and tokenizer come from, whatever they are stored as."""

from .. import bispikclm  # noqa: F401 (makes transformers know its model type)
from .open import open_source
from .skeleton import build_skeleton
from .source import Source

__all__ = ["Source", "build_skeleton", "open_source"]
