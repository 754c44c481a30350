"""The work of a model known by its config alone, at a given number of spikes.

What the literature's rule needs is in the config. The other columns need what no config says, and take the least
that the method can do with (reconstruction): as many spikes in attention as elsewhere, one weight scale an output, no
online rotation, no membrane updates.
"""

from __future__ import annotations

from .constants import ENCODE, FLOAT_BITS, FP32_MAC, OPERAND_BITS, PUBLISHED_BITS, SCALE_BITS
from .hf_config import Decoder
from .part import Part
from .work import Head, Product, Uncounted, Work

NOT_COUNTED = ("norms", "softmax", "activation functions", "other elementwise")


def work_of_config(model: Decoder, tokens: int, spikes: float, spikes_from: str) -> Work:
    """One sequence: S·parameters + 2·S²·d_attn multiply-adds, `spikes` additions for each; 4-bit weights and counts."""
    layers = model.layers
    rows = tokens * layers
    inputs = rows * sum(i for i, _ in model.matrices)
    outputs = rows * sum(o for _, o in model.matrices)
    scores = tokens * rows * model.heads
    attention = tokens * rows * model.width
    linear = Product(
        False, True, tokens * model.parameters, PUBLISHED_BITS, values=inputs,
        additions=tokens * model.parameters * spikes, spikes=inputs * spikes, cells=outputs,
    )  # fmt: skip
    products = [
        Product(True, True, attention, OPERAND_BITS, additions=attention * spikes, cells=cells)
        for cells in (scores, rows * model.width)
    ]
    # Inputs of q, k, v together, of o, of the MLP's first and last matrices; keys, values, queries; probabilities.
    encoded = rows * (2 * model.hidden + model.width + model.inner + 2 * model.kv_width + model.width) + scores
    read = outputs + scores + rows * model.width
    head = Head(tokens * model.hidden * model.vocabulary, FLOAT_BITS)
    return Work(
        model.name,
        tokens,
        (linear, *products),
        (Part("read-out", read, FP32_MAC), Part("encoders", encoded, ENCODE)),
        scale_bits=outputs * SCALE_BITS,
        kv_values=2 * layers * model.kv_width,
        kv_bits=2 * layers * (model.kv_width * PUBLISHED_BITS + model.kv_heads * FLOAT_BITS),
        weights=model.parameters,
        head=head,
        uncounted=(
            Uncounted("head", head.macs / (linear.macs + 2 * attention + head.macs)),
            *(Uncounted(kind, None) for kind in NOT_COUNTED),
        ),
        spikes_from=spikes_from,
    )
