"""Other engines to measure beside ours: llama.cpp and onnxruntime-genai, from what their projects publish.

    python benchmarks/peers.py MODEL.gguf FOLDER

llama.cpp's libraries come from the npm package `@node-llama-cpp/linux-x64` (they choose the kernels of the processor
when they load); the model is requantised to Q4_0 and Q8_0 beside its own format. onnxruntime-genai comes from PyPI into
a folder of its own, and its builder makes the model int4 in blocks of 32 with accuracy level 4. What is there is kept.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
from engines import llama_library
from safetensors.numpy import save_file
from sdllm.compiler.sources import open_source

FORMATS = {"q4_0.gguf": 2, "q8_0.gguf": 7}  # LLAMA_FTYPE_MOSTLY_Q4_0, _Q8_0
SYSTEM = {"Linux": "linux", "Darwin": "mac"}
MACHINE = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def llama(model: Path, folder: Path) -> None:
    """FOLDER/lib, q4_0.gguf, q8_0.gguf."""
    folder.mkdir(parents=True, exist_ok=True)
    lib = folder / "lib"
    if not lib.exists():
        name = f"{SYSTEM[platform.system()]}-{MACHINE[platform.machine()]}"
        command = ["npm", "pack", "--silent", f"@node-llama-cpp/{name}"]
        packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(folder / packed) as archive:
            archive.extractall(folder, filter="data")
        next((folder / "package" / "bins").iterdir()).rename(lib)
        shutil.rmtree(folder / "package")
        (folder / packed).unlink()
    c = llama_library(lib)
    for name, form in FORMATS.items():
        if (folder / name).exists():
            continue
        options = c.llama_model_quantize_default_params()
        options.words[1] = form
        options.words[4] |= 1  # allow_requantize, a byte
        half = folder / f"{name}.partial"
        if c.llama_model_quantize(os.fsencode(model), os.fsencode(half), ctypes.byref(options)):
            raise SystemExit(f"{model}: llama.cpp cannot make {name} of it")
        half.rename(folder / name)


def ort(model: Path, folder: Path) -> None:
    """FOLDER/packages, hf and int4."""
    packages, hf = folder / "packages", folder / "hf"
    if not packages.exists():
        wanted = ["onnxruntime-genai", "onnx-ir"]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(packages), *wanted], check=True)
    if not hf.exists():
        source = open_source(str(model))
        hf.mkdir()
        source.config.architectures = [type(source.skeleton).__name__]
        source.config.save_pretrained(hf)
        source.load_tokenizer().save_pretrained(hf)
        tensors = {n: np.ascontiguousarray(t) for n, t in source.tensors.items() if n not in source.aliases}
        save_file(tensors, hf / "model.safetensors", metadata={"format": "pt"})
    if not (folder / "int4").exists():
        options = ["int4_accuracy_level=4", "int4_block_size=32"]
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(hf), "-i", str(hf)]
        command += ["-o", str(folder / "int4"), "-p", "int4", "-e", "cpu", "--extra_options", *options]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(packages)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    llama(args.model, args.folder / "llama")
    ort(args.model, args.folder / "ort")


if __name__ == "__main__":
    main()
