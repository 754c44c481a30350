"""The student as a transformers model: embeddings, blocks, a float norm and a float head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedModel
from transformers.utils import ModelOutput

from .config import BiSpikCLMConfig
from .layers import FC, Block
from .neurons import on_grid

Tensor = torch.Tensor

# Spread of fresh embeddings, against a threshold of 0.7: a fifth of the neurons that read them fire. Positions start
# smaller, or they would drown the tokens.
EMBEDDING, POSITION = 0.5, 0.1


@dataclass
class BiSpikCLMOutput(ModelOutput):  # type: ignore[misc]
    """logits f32[B,S,V]; on request the rates of the first encoder [B,S,d], the residual after each block [B,S,d], the
    rates of each attention map [B,H,S,S]."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    embedding_rates: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class Positions(nn.Embedding):
    """Learned positions."""


class BiSpikCLMPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """What transformers must know of every student."""

    config_class = BiSpikCLMConfig
    base_model_prefix = "model"
    attention_in_spikes = True  # the frontend need not replace it
    supports_gradient_checkpointing = False
    _no_split_modules = ("Block",)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, FC):
            nn.init.normal_(module.weight, std=module.gain * module.in_features**-0.5)
            if module.bias is not None:
                nn.init.constant_(module.bias, module.start)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=POSITION if isinstance(module, Positions) else EMBEDDING)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5 * module.in_features**-0.5)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
            nn.init.ones_(module.weight)
            if isinstance(module, nn.LayerNorm):
                nn.init.zeros_(module.bias)


class BiSpikCLMModel(BiSpikCLMPreTrainedModel):
    """Ids to the normed residual."""

    def __init__(self, config: BiSpikCLMConfig) -> None:
        super().__init__(config)
        d = config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, d)
        self.embed_positions = Positions(config.max_position_embeddings, d)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        norm = nn.LayerNorm if config.style == "opt" else nn.RMSNorm
        self.norm = norm(d, eps=config.norm_eps)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """Normed residual f32[B,S,d], and of each block: residual, train of its encoder, train of its attention map."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if position_ids is None:
            position_ids = (mask.cumsum(1) - 1).clamp(min=0)
        x = self.embed_tokens(input_ids) + self.embed_positions(position_ids)
        residuals, encoded, maps = [], [], []
        for block in self.layers:
            x, s, a = block(x, mask)
            residuals.append(x)
            encoded.append(s)
            maps.append(a)
        return self.norm(x), residuals, encoded, maps


class BiSpikCLMForCausalLM(BiSpikCLMPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """The language model. It keeps no cache in torch; the compiled program does."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 (transformers' own form)

    def __init__(self, config: BiSpikCLMConfig) -> None:
        super().__init__(config)
        self.model = BiSpikCLMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **rest: Any,
    ) -> BiSpikCLMOutput:
        """input_ids i64[B,S]; attention_mask i64[B,S], 0 hides; labels i64[B,S], -100 not scored, not shifted."""
        x, residuals, encoded, maps = self.model(input_ids, attention_mask, position_ids)
        logits = self.lm_head(x)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return BiSpikCLMOutput(
            loss=loss,
            logits=logits,
            embedding_rates=encoded[0].mean(0) if output_hidden_states else None,
            hidden_states=tuple(residuals) if output_hidden_states else None,
            attentions=tuple(a.mean(0) for a in maps) if output_attentions else None,
        )

    @torch.no_grad()
    def settle(self) -> None:
        """Round every weight that meets a neuron to the grid, which changes nothing that is computed from weights in
        linears, and makes residual sums exact."""
        frac = self.config.frac
        for module in self.modules():
            if isinstance(module, FC):
                for part in (module.weight, module.bias):
                    if part is not None:
                        part.copy_(on_grid(part, frac, bound=True))
            elif isinstance(module, nn.Embedding):
                module.weight.copy_(on_grid(module.weight, frac))
