"""What the C backend may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...ir import IRError, Program

KERNELS = ("auto", "dense", "event", "add")
FLOATS = ("f32", "f16")
KV = ("f32", "f16")

OPTIONS = {
    "kernels": "kernels of spiked linears: auto (the default), dense, event or add",
    "costs": "for auto, a table of kernels' times by calibrate-machine; default this machine's, else the shipped one",
    "context": "most tokens of a sequence; default the model's, but no more than 2048",
    "floats": "how float matrices are stored: f32 (the default) or f16",
    "kv": "how float keys and values are kept: f32 (the default) or f16; spiked ones are 8-bit counts",
    "fuse": "true (the default), or false: each op by itself, slow, to compare with",
}

# Tokens of context where neither the program nor an option says so.
USUAL_CONTEXT = 2048
# Tokens that go through the layers together in prefill.
CHUNK = 64


@dataclass(frozen=True, slots=True)
class Options:
    """`kernels`: of spiked linears; `costs`: a file that says what each takes, for `auto`; `context`: most tokens;
    `floats`: how float matrices are stored; `kv`: how float keys and values are kept; `fuse`: whether ops that follow
    each other become one kernel (off: each op by itself, slow, to compare with)."""

    kernels: str = "auto"
    context: int = 0
    floats: str = "f32"
    kv: str = "f32"
    fuse: bool = True
    costs: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Options:
        """From `name=value` pairs. Raises IRError."""
        made: dict[str, Any] = {}
        words = {"kernels": KERNELS, "floats": FLOATS, "kv": KV, "fuse": ("true", "false")}
        for name, value in given.items():
            if name in words and value in words[name]:
                made[name] = value == "true" if name == "fuse" else value
            elif name == "costs":
                made[name] = value
            elif name == "context" and value.isdecimal() and int(value) > 0:
                made[name] = int(value)
            elif name in cls.__dataclass_fields__:
                wanted = "one of " + ", ".join(words[name]) if name in words else "a positive number"
                raise IRError(f"the c backend's option {name} must be {wanted}, not '{value}'")
            else:
                raise IRError(f"the c backend has no option '{name}'")
        return cls(**made)

    def tokens(self, program: Program) -> int:
        """The context length. Raises IRError if the model's positions do not reach that far."""
        most = int(program.meta.get("max_positions") or 0)
        if most and self.context > most:
            raise IRError(f"context {self.context}: the model has positions for {most} tokens")
        return self.context or min(most or USUAL_CONTEXT, USUAL_CONTEXT)
