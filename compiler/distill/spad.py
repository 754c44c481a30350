"""SpAD: spike-aware alignment distillation, five terms (BiSpikCLM, arXiv 2605.13859).

L = 0.2·EA + 0.1·SAA + 0.1·SFA + 0.3·STA + 0.3·HTA: terms, weights and their kinds are stated; which layers meet, what
is normalised, and that maps are averaged over heads where their numbers differ are reconstructions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..bispikclm import BiSpikCLMForCausalLM, neurons
from .teacher import Lesson, Teacher

Tensor = torch.Tensor


class SpAD(nn.Module):
    """A student with what it is compared by: learned projections to the teacher's width, unused once it is trained."""

    def __init__(self, student: Any, terms: Mapping[str, float], temperature: float, teacher: Teacher | None) -> None:
        super().__init__()
        self.student = student
        self.terms, self.temperature = dict(terms), temperature
        width = student.config.hidden_size
        if "ea" in terms:
            assert teacher is not None
            self.embedding = nn.Linear(width, teacher.width)
        if "sfa" in terms:
            assert teacher is not None
            self.features = nn.ModuleList(_mlp(width, teacher.width) for _ in range(student.config.num_hidden_layers))
        if teacher is not None:
            self.met = meeting(student.config.num_hidden_layers, teacher.layers)

    def forward(self, ids: Tensor, lesson: Lesson) -> dict[str, Tensor]:
        """Each term of the loss for ids i64 [B,S], and their weighted sum as `loss`."""
        inner = {"ea", "saa", "sfa"} & self.terms.keys()
        extra = {"output_hidden_states": bool(inner), "output_attentions": "saa" in inner} if inner else {}
        said = self.student(input_ids=ids, attention_mask=torch.ones_like(ids), **extra)
        found = {name: getattr(self, f"_{name}")(ids, said, lesson) for name in self.terms}
        found["loss"] = torch.stack([self.terms[n] * found[n] for n in self.terms]).sum()
        return found

    def _ea(self, ids: Tensor, said: Any, lesson: Lesson) -> Tensor:
        """Rates of the neurons that read the embeddings, projected, against the teacher's embeddings."""
        assert lesson.embeddings is not None
        return F.mse_loss(self.embedding(said.embedding_rates), _normed(lesson.embeddings))

    def _saa(self, ids: Tensor, said: Any, lesson: Lesson) -> Tensor:
        """Rates of binary attention maps, against the teacher's probabilities through the same neurons, as shares of
        the highest that the head sees: as they are, hardly one in a text of 64 tokens would make a neuron fire."""
        assert isinstance(self.student, BiSpikCLMForCausalLM)
        c = self.student.config
        seen = neurons.visible(torch.ones_like(ids[:1]), *c.reach)
        total = ids.new_zeros((), dtype=torch.float32)
        for own, at in zip(said.attentions, self.met, strict=True):
            theirs = lesson.maps[at]
            if theirs.shape[1] != own.shape[1]:
                theirs, own, seen = (x.float().mean(1, keepdim=True) for x in (theirs, own, seen))
                seen = seen > 0
            with torch.no_grad():
                theirs = theirs * seen
                theirs = theirs / theirs.amax(-1, keepdim=True).clamp(min=1e-9)
                rates = neurons.encode(theirs, c.time_steps, c.frac, c.beta, c.threshold).mean(0)
            apart = (own - rates).square() * seen
            total = total + apart.sum() / (seen.expand(1, *own.shape[1:]).sum() * len(ids))
        return total / len(self.met)

    def _sfa(self, ids: Tensor, said: Any, lesson: Lesson) -> Tensor:
        """H' = LayerNorm(MLP(mean_t H)) of the residual after each block, against the teacher's, normalised."""
        pairs = zip(self.features, said.hidden_states, self.met, strict=True)
        losses = [F.mse_loss(_normed(mlp(h)), _normed(lesson.features[at])) for mlp, h, at in pairs]
        return torch.stack(losses).mean()

    def _sta(self, ids: Tensor, said: Any, lesson: Lesson) -> Tensor:
        """KL of the teacher's next-token distribution from the student's, both at the temperature, times its square."""
        own = F.log_softmax(said.logits / self.temperature, -1)
        if lesson.top is not None:
            return _kl_of_top(own, *lesson.top) * self.temperature**2
        assert lesson.logits is not None
        theirs = F.log_softmax(lesson.logits / self.temperature, -1)
        return F.kl_div(own, theirs, reduction="none", log_target=True).sum(-1).mean() * self.temperature**2

    def _hta(self, ids: Tensor, said: Any, lesson: Lesson) -> Tensor:
        """Cross-entropy with the text itself."""
        return F.cross_entropy(said.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def meeting(layers: int, teacher_layers: int) -> list[int]:
    """The teacher's layer that each of the student's is compared with: at the same share of depth, the last with the
    last."""
    return [max(0, round((i + 1) * teacher_layers / layers) - 1) for i in range(layers)]


def _mlp(width: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, out), nn.GELU(), nn.Linear(out, out))


def _normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def _kl_of_top(own: Tensor, ids: Tensor, logs: Tensor) -> Tensor:
    """KL over the teacher's likeliest tokens and, as one more, all others together."""
    at = own.gather(-1, ids)
    rest, own_rest = ((1 - x.exp().sum(-1)).clamp(min=1e-6) for x in (logs, at))
    return ((logs.exp() * (logs - at)).sum(-1) + rest * (rest.log() - own_rest.log())).mean()
