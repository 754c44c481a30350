"""Open a model by path or hub id."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError
from .folder import open_folder
from .gguf import open_gguf
from .hub import download
from .source import Source

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def open_source(model: str, *, trust_remote_code: bool = False, revision: str | None = None) -> Source:
    """The model at `model`: a folder with safetensors, a .gguf file or a folder with one, or a hub id.

    Raises InputError for whatever cannot or should not be read: the message says what and why.
    """
    path = Path(model).expanduser()
    if path.is_file():
        if path.suffix.lower() == ".gguf":
            return open_gguf(path)
        if path.suffix.lower() in PICKLES:
            raise InputError(f"{path}: pickle checkpoints can run code and are never opened; convert it to safetensors")
        raise InputError(f"{path}: is neither a .gguf file nor a folder; give the model's folder")
    if path.is_dir():
        return _folder(path, trust_remote_code)
    if model.startswith((".", "/", "~")) or not HUB_ID.fullmatch(model):
        raise InputError(f"{model}: no such file or folder")
    folder, commit = download(model, revision)
    origin = {"kind": "hub", "name": model, "revision": commit}
    return open_folder(folder, trust_remote_code=trust_remote_code, origin=origin)


def _folder(path: Path, trust_remote_code: bool) -> Source:
    ggufs = sorted(path.glob("*.gguf"))
    if ggufs and not (path / "config.json").exists():
        if len(ggufs) > 1:
            names = ", ".join(f.name for f in ggufs)
            raise InputError(f"{path}: holds {len(ggufs)} GGUF files ({names}); name the one you mean")
        return open_gguf(ggufs[0])
    return open_folder(path, trust_remote_code=trust_remote_code)
