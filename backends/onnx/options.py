"""What the ONNX backend may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...ir import IRError

WORDS = {
    "mode": ("exact", "fast"),
    "steps": ("folded", "unrolled"),
}

OPTIONS = {
    "mode": "exact (the default): standard operators, the reference's integers; fast: what onnxruntime runs fastest",
    "steps": "folded (the default): counts; unrolled: one ternary plane a time step, which membranes add and double",
}


@dataclass(frozen=True, slots=True)
class Options:
    """`mode`: exact or fast; `steps`: whether time steps are folded into counts or unrolled."""

    mode: str = "exact"
    steps: str = "folded"

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Options:
        """From `name=value` pairs. Raises IRError."""
        for name, value in given.items():
            if name not in WORDS:
                raise IRError(f"the onnx backend has no option '{name}' (it has: {', '.join(WORDS)})")
            if value not in WORDS[name]:
                raise IRError(f"the onnx backend's option {name} must be {' or '.join(WORDS[name])}, not '{value}'")
        made = cls(**given)
        if made.fast and made.unrolled:
            raise IRError("the onnx backend's steps=unrolled goes with mode=exact: fast programs fold time")
        return made

    @property
    def fast(self) -> bool:
        """Whether onnxruntime's own operators are used."""
        return self.mode == "fast"

    @property
    def unrolled(self) -> bool:
        """Whether time steps stand in the graph."""
        return self.steps == "unrolled"
