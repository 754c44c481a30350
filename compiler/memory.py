"""Memory of this process: freed blocks kept for the next tensor, and the most it held."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

# mallopt's parameters (glibc's malloc.h), and a size above that of any tensor here.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGE = -1, -3, 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of handing each back to the system.

    Fresh pages are cleared one fault at a time; for tensors of logits or attention scores that takes longer than the
    arithmetic on them (a window of 2048 tokens of a 135M model: 48 s, or 13 s so). Does nothing where there is no
    glibc.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, _LARGE)


def forget_peak() -> None:
    """Count the most memory held anew from here on, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """The most memory held at once (resident), MiB; since `forget_peak` where the system can tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)
