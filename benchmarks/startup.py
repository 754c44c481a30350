"""How long `sdllm-compile --help` takes: `python benchmarks/startup.py` prints the median of 20 runs, in seconds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    command = [str(Path(sys.executable).with_name("sdllm-compile")), "--help"]
    times = []
    for _ in range(20):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    print(f"sdllm-compile --help: median {statistics.median(times):.3f} s, most {max(times):.3f} s")


if __name__ == "__main__":
    main()
