"""The teacher: a model in torch, and what of it the student is compared with; or its likeliest tokens from a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ..bispikclm import BiSpikCLMForCausalLM
from ..errors import InputError
from ..sources import Source
from ..sources.skeleton import quiet

Tensor = torch.Tensor
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Lesson:
    """What the teacher says of a batch: logits [B,S,V], embeddings [B,S,d], features after each layer [B,S,d],
    attention maps [B,H,S,S]; or from a cache `top`, ids and their log-probabilities at the temperature [B,S,k]."""

    logits: Tensor | None = None
    embeddings: Tensor | None = None
    features: tuple[Tensor, ...] = ()
    maps: tuple[Tensor, ...] = ()
    top: tuple[Tensor, Tensor] | None = None


class Teacher:
    """A model of transformers with its weights, in eval mode and float32."""

    def __init__(self, source: Source, *, maps: bool) -> None:
        """Raises InputError for an encoder, or a student."""
        kind = type(source.skeleton)
        if issubclass(kind, BiSpikCLMForCausalLM):
            raise InputError(f"{source.origin.get('name')}: is a spiking student; a teacher is an ordinary decoder")
        if not kind.__name__.endswith(("ForCausalLM", "LMHeadModel")):
            raise InputError(f"{source.origin.get('name')}: {kind.__name__} writes no text; a teacher is a decoder")
        with quiet():
            self.model: Any = kind(source.config)
        state = {name: torch.from_numpy(np.array(source.tensors[name])) for name in source.tensors}
        self.model.load_state_dict(state, strict=False, assign=False)
        self.model.tie_weights()
        self.model.eval().requires_grad_(False)
        if maps:  # only plain attention gives its probabilities
            self.model.set_attn_implementation("eager")
        self._maps = maps

    @property
    def width(self) -> int:
        """Its hidden size."""
        return int(self.model.config.hidden_size)

    @property
    def layers(self) -> int:
        """How many layers it has."""
        return int(self.model.config.num_hidden_layers)

    def to(self, device: torch.device) -> Teacher:
        """Moved."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def lesson(self, ids: Tensor, *, inner: bool) -> Lesson:
        """What it says of ids i64 [B,S]; features and maps only where they are wanted."""
        said = self.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            output_hidden_states=inner,
            output_attentions=self._maps,
            use_cache=False,
        )
        if not inner:
            return Lesson(said.logits)
        embeddings, *features = said.hidden_states
        return Lesson(said.logits, embeddings, tuple(features), tuple(said.attentions) if self._maps else ())


class TopK:
    """The teacher's k likeliest tokens after each token of the text, with their log-probabilities, on disk.

    49,152 logits a token would be 98 GB for a million tokens; k = 32 are 0.19 GB.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], k: int) -> None:
        self._folder, self._shape = folder, (*shape, k)
        self._done = folder / "done"

    def fill(self, teacher: Teacher, tokens: NDArray[np.int64], temperature: float, progress: Progress) -> None:
        """Run the teacher over all sequences i64 [N, L], once; what an earlier run left whole stays."""
        if self._done.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        ids = np.lib.format.open_memmap(self._folder / "ids.npy", "w+", np.int32, self._shape)
        logs = np.lib.format.open_memmap(self._folder / "logs.npy", "w+", np.float16, self._shape)
        device = next(teacher.model.parameters()).device
        for row in range(0, len(tokens), 8):
            progress(row, len(tokens), "sequences read by the teacher")
            logits = teacher.lesson(torch.from_numpy(tokens[row : row + 8]).to(device), inner=False).logits
            assert logits is not None
            top = F.log_softmax(logits / temperature, -1).topk(self._shape[2], -1)
            ids[row : row + 8], logs[row : row + 8] = top.indices.cpu().numpy(), top.values.cpu().numpy()
        ids.flush()
        logs.flush()
        self._done.touch()

    def lesson(self, rows: NDArray[np.int64], device: torch.device) -> Lesson:
        """What it said of those sequences."""
        ids = np.load(self._folder / "ids.npy", mmap_mode="r")[rows].astype(np.int64)
        logs = np.load(self._folder / "logs.npy", mmap_mode="r")[rows].astype(np.float32)
        return Lesson(top=(torch.from_numpy(ids).to(device), torch.from_numpy(logs).to(device)))
