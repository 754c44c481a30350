"""What a training run is: every option, checked, and the same after a resume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError

# SpAD's weights as published: embeddings, attention maps, features, logits, text (BiSpikCLM, arXiv 2605.13859).
SPAD: Mapping[str, float] = {"ea": 0.2, "saa": 0.1, "sfa": 0.1, "sta": 0.3, "hta": 0.3}
STREAMED = ("ea", "saa", "sfa")  # need more of the teacher than its logits


@dataclass(frozen=True)
class Settings:
    """A run. `terms` are the terms of the loss with their weights; sizes of 0 stand for those of `sizes`.

    teacher None: no teacher, and a tokenizer of `vocabulary` tokens trained on the text. spikes False: an ordinary
    decoder of the same size. top_k: the teacher's likeliest tokens are kept on disk, so it runs once over the text.
    """

    data: tuple[Path, ...]
    teacher: str | None = None
    vocabulary: int = 0
    spikes: bool = True
    style: str = "opt"
    layers: int = 2
    hidden: int = 128
    heads: int = 4
    ffn: int = 0
    steps: int = 2
    block_output: str = "spikes"
    spans: str = ""
    score_threshold: int = 1
    value_threshold: int = 1
    terms: Mapping[str, float] = field(default_factory=lambda: dict(SPAD))
    temperature: float = 2.0
    tokens: int = 1_000_000
    length: int = 128
    batch: int = 16
    lr: float = 0.0
    warmup: float = 0.1
    clip: float = 0.7
    seed: int = 0
    top_k: int = 0
    held_out: int = 32

    def check(self) -> None:
        """Raises InputError for what cannot be."""
        self._check_numbers()
        if self.teacher is None and not self.vocabulary:
            raise InputError("without a TEACHER there is no tokenizer: give one, or --vocabulary to train a new one")
        if self.teacher is not None and self.vocabulary:
            raise InputError("--vocabulary: the student has its teacher's tokenizer; leave one of the two out")
        taught = [t for t in self.terms if t != "hta"]
        if self.teacher is None and taught:
            raise InputError(f"--terms {taught[0]}: compares with a teacher, and there is none; give hta alone")
        inner = [t for t in self.terms if t in STREAMED]
        if inner and not self.spikes:
            raise InputError(f"--terms {inner[0]}: compares spikes, and --no-spikes has none; give sta and hta alone")
        if inner and self.top_k:
            raise InputError(f"--terms {inner[0]}: needs the whole teacher, of which --top-k keeps its logits alone")
        if self.top_k and "sta" not in self.terms:
            raise InputError("--top-k: keeps the teacher's logits, which only the term sta reads")

    def _check_numbers(self) -> None:
        least = {"layers": 1, "hidden": 1, "heads": 1, "ffn": 0, "tokens": 1, "length": 2, "batch": 1, "top_k": 0}
        for name, low in {**least, "seed": 0, "score_threshold": 1, "value_threshold": 1, "held_out": 1}.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least {low}")
        if self.hidden % self.heads:
            raise InputError(f"--hidden {self.hidden}: must be a multiple of --heads {self.heads}")
        if (given := len(self.reach)) not in (0, self.heads):
            raise InputError(f"--spans {self.spans}: has {given} parts; give one for each of {self.heads} --heads")
        if self.steps < 1 or self.steps & (self.steps - 1) or self.steps > 64:
            raise InputError(f"--steps {self.steps}: must be a power of two up to 64, so that rates are exact")
        if self.vocabulary and self.vocabulary < 257:
            raise InputError(f"--vocabulary {self.vocabulary}: must be 257 or more, for every byte and the end")
        for name in ("rate", "clip", "temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                option = {"rate": "lr"}.get(name, name)
                raise InputError(f"--{option} {getattr(self, name):g}: must be more than 0")
        if not 0 <= self.warmup < 1:
            raise InputError(f"--warmup {self.warmup:g}: must be a share from 0 to 1")
        if not self.terms or any(not 0 < w < float("inf") for w in self.terms.values()):
            raise InputError("--terms: needs at least one term, each with a weight above 0")

    @property
    def rate(self) -> float:
        """The highest learning rate: `lr`, or what was found best for small students and ordinary decoders."""
        ours = 1e-2 if self.spans else 2e-2
        return self.lr or (ours if self.spikes else 5e-3)

    @property
    def reach(self) -> list[list[int]]:
        """`spans`, as the nearest and farthest token before the query for each head. Raises InputError."""
        return [_span(part.strip(), self.length) for part in self.spans.split(",")] if self.spans else []

    @property
    def inner(self) -> int:
        """Width of the feed-forward layer: `ffn`, or four times the hidden size."""
        return self.ffn or 4 * self.hidden

    @property
    def updates(self) -> int:
        """How many batches `tokens` make, at least one."""
        return max(1, -(-self.tokens // (self.batch * self.length)))

    def as_json(self) -> dict[str, Any]:
        """The settings as they are kept beside a checkpoint and in the student's training.json."""
        plain = asdict(self)
        return {**plain, "data": [p.name for p in self.data], "terms": dict(self.terms)}


def _span(text: str, length: int) -> list[int]:
    """`3`, `4-9` or `all` to nearest and farthest."""
    if text == "all":
        return [0, length - 1]
    near, _, far = text.partition("-")
    far = far or near
    if not (near.isdecimal() and far.isdecimal() and int(near) <= int(far)):
        raise InputError(f"--spans {text}: must be tokens before the query, as 3 or 4-9, or all")
    return [int(near), int(far)]


def parse_terms(text: str) -> dict[str, float]:
    """`ea=0.2,saa,hta` to terms with weights, the published ones where none is given. Raises InputError."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, given, weight = (p.strip() for p in part.partition("="))
        if name not in SPAD:
            raise InputError(f"--terms {name or text}: SpAD's terms are {', '.join(SPAD)}")
        if name in found:
            raise InputError(f"--terms {text}: {name} is given twice")
        try:
            found[name] = float(weight) if given else SPAD[name]
        except ValueError as error:
            raise InputError(f"--terms {part.strip()}: '{weight}' is no number") from error
    return found


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names of settings that are not the same, as JSON sees them."""
    plain_a, plain_b = (json.loads(json.dumps(dict(x))) for x in (a, b))
    return sorted(k for k in {*plain_a, *plain_b} if plain_a.get(k) != plain_b.get(k))
