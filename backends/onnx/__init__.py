"""The ONNX backend. Raises ImportError, with what to install, where the extra `onnx` is missing."""

from importlib.util import find_spec

for _needed in ("onnx_ir", "onnxruntime"):
    if find_spec(_needed) is None:
        raise ImportError(f"{_needed} is missing: pip install 'sdllm[onnx]'")

from .backend import ONNXBackend  # noqa: E402

__all__ = ["ONNXBackend"]
