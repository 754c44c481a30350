"""Kinds of ops that a drawing tells apart."""

from __future__ import annotations

from ...ir import Op

_PRODUCTS = ("nn.linear", "nn.attend")


def kind(op: Op) -> str:
    """`spikes` for products on spikes, `encode` for what makes counts and `read` for what reads membranes out, `float`
    for matrix products in float, `state` for what is kept between calls, `other` for elementwise work."""
    if op.name in ("spike.linear", "spike.matmul") or op.name.startswith("lif."):
        return "spikes"
    if op.name in ("spike.encode", "int.encode"):
        return "encode"
    if op.name.startswith("spike."):
        return "read"
    if op.name in _PRODUCTS:
        return "float"
    return "state" if op.name.startswith("state.") else "other"
