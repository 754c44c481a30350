"""The tiny model twice: as Hugging Face runs it, and as sdllm does; and small task files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sdllm.compiler.evaluation.subject import Subject, Where, open_subject
from sdllm.compiler.ui import Quiet

CHOICES = [
    {"ctx": "the cat sat on", "choices": ["the mat", "the dog ran after the cat", "cat"], "gold": 0},
    {"ctx": "Question: 1234?\nAnswer:", "choices": ["yes", "no"], "gold": 1},
    {"ctx": "until both of them ", "choices": ["sat on the mat again.", "ran", "é"], "gold": 2},
    {"ctx": "and the dog", "choices": ["ran", "sat"], "gold": 0, "ignored": True},
]
CONTEXTS = [
    {"ctxs": ["the cat was faster than the dog so the cat", "the cat was"], "cont": "ran after", "gold": 1},
    {"ctxs": ["both sat", "the mat sat"], "cont": "again.", "gold": 0},
]


@pytest.fixture(scope="session")
def hf(tiny: Path) -> Any:
    """The tiny model as transformers loads it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def subject(tiny: Path) -> Subject:
    """The tiny model as `eval` opens it."""
    return open_subject(Where(str(tiny)), Quiet())


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    """A task file of these objects (or raw lines)."""

    def write(items: Sequence[object], name: str = "task.jsonl") -> Path:
        path = tmp_path / name
        texts = [item if isinstance(item, str) else json.dumps(item) for item in items]
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return path

    return write


def naive(model: Any, context: Sequence[int], continuation: Sequence[int]) -> float:
    """log p(continuation | context) by a forward pass of transformers, token by token."""
    ids = torch.tensor([[*context, *continuation]])
    with torch.inference_mode():
        values = torch.log_softmax(model(ids).logits[0].double(), -1)
    return sum(values[len(context) + i - 1, token].item() for i, token in enumerate(continuation))
