"""sdllm: Hugging Face transformers in, spike programs out.

`compile` makes a folder of a model, `load` opens one; everything else is in sdllm.ir, sdllm.passes, sdllm.backends and
sdllm.compiler. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from sdllm.compiler.artifact import Artifact

__all__ = ["__version__", "compile", "load"]


def compile(model: str, out: str | Path, **options: Any) -> Artifact:
    """Compile a model (a folder, a .gguf file or a hub id) into the folder `out`, and open it.

    Options are the fields of `sdllm.compiler.compile.Request`: recipe, pipeline, backends, calibration, seed and so
    on. Raises InputError, PassError or NotFound, with one line that says what to do.
    """
    from pathlib import Path

    from sdllm.compiler.artifact import open_artifact
    from sdllm.compiler.compile import Request, compile_model

    if isinstance(options.get("calibration"), str):
        options["calibration"] = Path(options["calibration"])
    if isinstance(options.get("backends"), str):
        options["backends"] = (options["backends"],)
    return open_artifact(compile_model(Request(model, Path(out), **options)))


def load(out: str | Path) -> Artifact:
    """Open a compiled model. Raises InputError."""
    from pathlib import Path

    from sdllm.compiler.artifact import open_artifact

    return open_artifact(Path(out))


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("sdllm")
    raise AttributeError(f"module 'sdllm' has no attribute '{name}'")
