"""What runs on spikes and what stays float, on a model of real size: captured from its config alone."""

from __future__ import annotations

from transformers import LlamaConfig

from ....ir import Program, Store
from ....passes import Context, run_pipeline
from ....passes.insert_encoders import InsertEncoders
from ...coverage import coverage, spiking_share
from ..capture import capture
from ..lower import lower

TOKENS = 1024

HEAD = f"""
# What runs on spikes

Share of the operations of a prefill of {TOKENS} tokens, for a Llama of SmolLM2-135M's shape after insert-encoders.
Matrix products count multiply-adds, everything else one operation an element. What is float stays float in every
recipe. `sdllm-compile inspect OUT` prints the same table for a compiled model.

| runs on | kind | share | why |
|---|---|---|---|
"""


def program() -> Program:
    """SmolLM2-135M's shape, its linears and attention spiked; weights are declared, not made."""
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
    )
    return run_pipeline(lower(capture(config)), [InsertEncoders()], Context(Store()))


def shares() -> str:
    """The section of docs/coverage.md."""
    found = coverage(program(), TOKENS)
    lines = [f"| {'spikes' if s.spiking else 'float'} | {s.kind} | {s.share:.2%} | {s.reason} |" for s in found]
    told = f"Of the multiply-adds alone, {spiking_share(found):.1%} run on spikes; the rest is the head's."
    return HEAD + "\n".join(lines) + f"\n\n{told}\n"
