"""`sdllm-lm-eval`: the harness' own command line, with the model `sdllm` known to it.

lm-eval 0.4.13, the newest release on PyPI when this was written, finds no models of other packages; its later
versions do by the entry point group `lm_eval.models`, and then plain `lm_eval --model sdllm` is the same.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run it; exit code 2 if lm-eval is not there."""
    try:
        from lm_eval.__main__ import cli_evaluate
    except ImportError as error:
        print(f"sdllm-lm-eval: lm-eval is not installed ({error}); pip install 'sdllm[eval]'", file=sys.stderr)
        return 2
    from . import lm_eval_adapter  # noqa: F401  (registers the model)

    cli_evaluate()
    return 0
