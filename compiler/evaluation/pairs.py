"""A context and its continuation as tokens, the way lm-evaluation-harness splits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Pair:
    """Tokens of a context, none of which is scored, and of its continuation; neither is empty."""

    context: Sequence[int]
    continuation: Sequence[int]


@dataclass
class PairEncoder:
    """Encodes pairs with one tokenizer; `prefix` is the token that stands for an empty context."""

    tokenizer: Any
    prefix: int | None
    _contexts: dict[str, list[int]] = field(default_factory=dict)

    def text(self, text: str) -> list[int]:
        """A text's tokens, with the special ones this tokenizer puts around a text, but never a second first one."""
        special = self._first is None or not text.startswith(self._first)
        return list(self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def pair(self, context: str, continuation: str, where: str) -> Pair:
        """Spaces at the context's end go to the continuation; both are encoded as one text, which is cut where the
        context alone ends. Raises InputError, naming `where`, if nothing is left to score.
        """
        kept = context.rstrip()
        continuation = context[len(kept) :] + continuation
        if not kept:
            return self._alone(continuation, where)
        if kept not in self._contexts:
            self._contexts = {kept: self.text(kept)}  # the choices of one item follow each other
        before = self._contexts[kept]
        after = self.text(kept + continuation)[len(before) :]
        if not after:
            raise InputError(f"{where}: no token is left of the continuation {continuation!r}")
        return Pair(before, after)

    def _alone(self, continuation: str, where: str) -> Pair:
        after = list(self.tokenizer(continuation, add_special_tokens=False, verbose=False)["input_ids"])
        if self.prefix is None:
            raise InputError(f"{where}: its context is empty, and the model has no first token to stand for it")
        if after and after[0] == self.prefix:
            after = after[1:]
        if not after:
            raise InputError(f"{where}: no token is left of the continuation {continuation!r}")
        return Pair([self.prefix], after)

    @property
    def _first(self) -> str | None:
        text = getattr(self.tokenizer, "bos_token", None)
        return text if isinstance(text, str) and text else None


def prefix_token(tokenizer: Any) -> int | None:
    """What stands for an empty context: the token a text begins with, else the one it ends with."""
    for name in ("bos_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if isinstance(token, int):
            return token
    return None
