"""Where a module stands: its layer's number and what it is in that layer."""

from __future__ import annotations


def by_layer(module: str) -> tuple[int | None, str]:
    """`model.layers.3.mlp.up_proj` is (3, `mlp.up_proj`); outside of layers (None, the path)."""
    parts = module.split(".")
    for index, part in enumerate(parts):
        if part.isdigit():
            return int(part), ".".join(parts[index + 1 :]) or "layer"
    return None, module or "model"
