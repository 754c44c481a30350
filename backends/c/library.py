"""libmodel.so through ctypes."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

P, I, S = ctypes.c_void_p, ctypes.c_int, ctypes.c_ssize_t


class Options(ctypes.Structure):
    """struct sdllm_options."""

    _fields_ = (("threads", I), ("context", S), ("isa", ctypes.c_char_p), ("stats", I), ("profile", I))


class Count(ctypes.Structure):
    """struct sdllm_count."""

    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("op", "module", "code")),
        *((name, ctypes.c_uint64) for name in ("values", "spikes", "nonzero", "additions", "macs", "updates")),
        ("steps", S),
        ("by_step", ctypes.POINTER(ctypes.c_uint64)),
    )


class Times(ctypes.Structure):
    """struct sdllm_times."""

    _fields_ = tuple((name, ctypes.c_double) for name in ("linears", "attention", "head", "rest"))


WATCH = ctypes.CFUNCTYPE(None, P, ctypes.c_char_p, I, S, S, P)

FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sdllm_open": (P, (ctypes.c_char_p, ctypes.POINTER(Options), ctypes.c_char_p, ctypes.c_size_t)),
    "sdllm_close": (None, (P,)),
    "sdllm_prefill": (I, (P, P, S, P)),
    "sdllm_step": (I, (P, ctypes.c_int64, P)),
    "sdllm_reset": (None, (P,)),
    "sdllm_vocabulary": (S, (P,)),
    "sdllm_context": (S, (P,)),
    "sdllm_tokens": (S, (P,)),
    "sdllm_isa": (ctypes.c_char_p, (P,)),
    "sdllm_error": (ctypes.c_char_p, (P,)),
    "sdllm_stats": (I, (P, S, ctypes.POINTER(Count))),
    "sdllm_counting": (None, (P, I)),
    "sdllm_profile": (None, (P, ctypes.POINTER(Times))),
    "sdllm_state_new": (P, (P,)),
    "sdllm_state_free": (None, (P,)),
    "sdllm_state_copy": (None, (P, P)),
    "sdllm_use": (None, (P, P)),
    "sdllm_run": (I, (P, S, P, P, P, P)),
    "sdllm_trace": (I, (P, WATCH, P)),
}


def load(path: Path) -> ctypes.CDLL:
    """The library, its functions typed."""
    made = ctypes.CDLL(str(path))
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(made, name)
        function.restype, function.argtypes = result, arguments
    return made
