"""A folder as transformers saves it: config.json, safetensors (sharded or not), tokenizer files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig

from ..errors import InputError
from .checkpoint import Checkpoint, find_checkpoint
from .json_file import read_json
from .names import resolve_names
from .refuse import refuse_raw
from .skeleton import build_skeleton, quiet
from .source import Source

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
)


def open_folder(path: Path, *, trust_remote_code: bool = False, origin: Mapping[str, Any] | None = None) -> Source:
    """The model in a folder. Raises InputError for a folder that is damaged, incomplete or refused."""
    raw = read_json(path / "config.json")
    refuse_raw(raw, path / "config.json", trust_remote_code=trust_remote_code)
    config = _config(path, trust_remote_code)
    checkpoint = find_checkpoint(path)
    skeleton = build_skeleton(config, trust_remote_code=trust_remote_code)
    names = resolve_names(skeleton, checkpoint)

    def tokenizer() -> Any | None:
        if not any((path / name).exists() for name in TOKENIZER_FILES):
            return None
        with quiet():
            return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)

    start = dict(origin or {"kind": "folder", "name": path.name, "revision": None})
    return Source(
        config=config,
        skeleton=skeleton,
        tensors=Checkpoint(checkpoint, names.entries),
        generation=_generation(path, raw),
        origin={**start, "licence": licence(path), "remote_code": bool(raw.get("auto_map"))},
        files=tuple(sorted({path / "config.json", *checkpoint.files})),
        load_tokenizer=tokenizer,
        aliases=names.aliases,
        unused=names.unused,
    )


def _config(path: Path, trust_remote_code: bool) -> PreTrainedConfig:
    try:
        with quiet():
            config: PreTrainedConfig = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # each config class checks its own fields, in its own way
        said = " ".join(str(error).split())
        raise InputError(f"{path / 'config.json'}: transformers refuses it: {said}") from error
    return config


def _generation(path: Path, raw: Mapping[str, Any]) -> dict[str, Any]:
    file = path / "generation_config.json"
    found = read_json(file) if file.exists() else {}
    ids = {key: raw[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if raw.get(key) is not None}
    return {**ids, **found}


def licence(path: Path) -> str | None:
    """The licence a model card states, else the first line of a LICENSE file, else None."""
    card = path / "README.md"
    if card.exists():
        found = re.search(r"^licen[sc]e:\s*(\S+)", card.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if found:
            return found[1]
    for file in sorted(path.glob("LICENSE*")):
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in lines if line.strip()), None)
    return None
