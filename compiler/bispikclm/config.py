"""The configuration of a BiSpikCLM student: sizes, and the fixed point its neurons count in."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

STYLES = ("opt", "llama")
OUTPUTS = ("spikes", "currents")
MOST_STEPS = 64


@strict
class BiSpikCLMConfig(PreTrainedConfig):  # type: ignore[misc]
    """Sizes and neurons of a student.

    time_steps (T): steps a token's current is held for, a power of two, so that a rate is an exact float. frac: bits
    behind the point of weights and currents; beta counts 256ths, threshold 2^-frac-ths, as `lif.fire` does (0.9 and
    0.7 by default: a reconstruction). score_threshold and value_threshold: how many coincidences make A and A·V fire.
    The head is not tied: embeddings large enough to make neurons fire would tell it of the token that was read.

    spans: for each head the nearest and farthest token before the query that it sees, as [[1, 1], [2, 2], [0, 63]];
    None, as published: every token up to the query, for every head (ours: see docs/bispikclm.md).

    style opt: biases, LayerNorm before the head; llama: no biases, RMSNorm, and a gated SFFN, whose gate is the AND of
    two trains. block_output spikes: what a block adds to the residual is the firing rate of its last neurons, as the
    paper states; currents: their mean input current, signed (ours).
    """

    model_type = "bispikclm"

    vocab_size: int = 512
    hidden_size: int = 128
    intermediate_size: int = 512
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int | None = None
    max_position_embeddings: int = 128
    time_steps: int = 2
    frac: int = 12
    beta: int = 230
    threshold: int = 2867
    score_threshold: int = 1
    value_threshold: int = 1
    spans: list[list[int]] | None = None
    style: str = "opt"
    block_output: str = "spikes"
    norm_eps: float = 1e-5
    use_cache: bool = False
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        super().__post_init__(**kwargs)
        if problem := self._problem():
            raise ValueError(problem)

    @property
    def reach(self) -> tuple[list[int], list[int]]:
        """The nearest and the farthest token that each head sees; empty lists without spans."""
        spans = self.spans or []
        return [near for near, _ in spans], [far for _, far in spans]

    def _problem(self) -> str | None:
        """What is wrong with the numbers, or None."""
        steps, heads, shared = self.time_steps, self.num_attention_heads, self.num_key_value_heads
        assert shared is not None
        checks = {
            f"time_steps {steps}: must be a power of two up to {MOST_STEPS}": (
                1 <= steps <= MOST_STEPS and steps & (steps - 1) == 0
            ),
            f"hidden_size {self.hidden_size}: must be a multiple of num_attention_heads {heads}": (
                heads > 0 and self.hidden_size % heads == 0
            ),
            f"num_attention_heads {heads}: must be a multiple of num_key_value_heads {shared}": (
                shared > 0 and heads % shared == 0
            ),
            f"style '{self.style}': must be one of {', '.join(STYLES)}": self.style in STYLES,
            f"block_output '{self.block_output}': must be one of {', '.join(OUTPUTS)}": self.block_output in OUTPUTS,
            f"spans {self.spans}: must be a near and a far for each of {heads} heads, 0 <= near <= far": (
                self.spans is None
                or (len(self.spans) == heads and all(len(s) == 2 and 0 <= s[0] <= s[1] for s in self.spans))
            ),
            f"frac {self.frac}: must be 4 to 14": 4 <= self.frac <= 14,
            f"beta {self.beta}: must be 0 to 256": 0 <= self.beta <= 256,
            "thresholds must be positive": min(self.threshold, self.score_threshold, self.value_threshold) > 0,
        }
        return next((text for text, good in checks.items() if not good), None)
