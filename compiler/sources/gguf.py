"""GGUF files, through transformers' own loader, which turns their blocks into float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.integrations.gguf import reader
from transformers.utils.quantization_config import GgufConfig

from ..errors import InputError
from .skeleton import build_skeleton, quiet
from .source import Array, Source, finite

Metadata = dict[str, Any]


def open_gguf(path: Path) -> Source:
    """The model in a GGUF file. Raises InputError for a damaged file or an architecture the loader lacks."""
    try:
        metadata, _ = reader.read_gguf_metadata(str(path), ("tokenizer.ggml.tokens",))
        with quiet():
            config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    except Exception as error:  # a damaged header fails anywhere in the reader
        said = " ".join(str(error).split())
        raise InputError(f"{path}: transformers cannot read this GGUF file: {said}") from error
    config = _mend(config)
    skeleton = build_skeleton(config)
    ties = {k: v for k, v in skeleton.all_tied_weights_keys.items() if k != v}
    ids = {key: getattr(config, key, None) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return Source(
        config=config,
        skeleton=skeleton,
        tensors=GgufTensors(path, config, type(skeleton), tuple(skeleton.state_dict())),
        generation={k: v for k, v in ids.items() if v is not None},
        origin={
            "kind": "gguf",
            "name": metadata.get("general.name") or path.name,
            "revision": None,
            "licence": metadata.get("general.license"),
            "remote_code": False,
        },
        files=(path,),
        load_tokenizer=lambda: load_tokenizer(path, metadata),
        aliases=ties,
    )


def _mend(config: PreTrainedConfig) -> PreTrainedConfig:
    """Special ids outside the vocabulary mean "none" in GGUF (0xFFFFFFFF is written for -1)."""
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        value = getattr(config, key, None)
        if isinstance(value, int) and not 0 <= value < config.vocab_size:
            setattr(config, key, None)
    return config


class GgufTensors(Mapping[str, Array]):
    """Parameter names to float32; the file is unpacked as a whole when the first is asked for."""

    def __init__(
        self, path: Path, config: PreTrainedConfig, model_class: type[PreTrainedModel], names: tuple[str, ...]
    ):
        self._path, self._config, self._class, self._names = path, config, model_class, names

    @cached_property
    def _state(self) -> dict[str, torch.Tensor]:
        try:
            with quiet(), mock.patch("transformers.modeling_gguf_pytorch_utils.tqdm", lambda x, **_: x):
                model, told = self._class.from_pretrained(
                    self._path.parent,
                    gguf_file=self._path.name,
                    config=self._config,
                    dtype=torch.float32,
                    quantization_config=GgufConfig(dequantize=True),
                    output_loading_info=True,
                )
        except Exception as error:  # a damaged file fails anywhere in the loader
            said = " ".join(str(error).split())
            raise InputError(f"{self._path}: its tensors cannot be read: {said}") from error
        # The loader fills what it does not find with random numbers.
        absent = sorted({*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])})
        if absent:
            raise InputError(
                f"{self._path}: {len(absent)} tensors are missing or of another shape ('{absent[0]}' …); "
                "is the file whole?"
            )
        state: dict[str, torch.Tensor] = model.state_dict()
        return state

    def __getitem__(self, name: str) -> Array:
        values: Array = self._state[name].detach().numpy()
        return finite(name, values, self._path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_tokenizer(path: Path, metadata: Metadata) -> Any:
    """The tokenizer a GGUF file describes, with two mends to what transformers makes of it.

    Special ids outside the vocabulary are dropped (the loader would fail on them), and `smollm` vocabularies get
    back their split of digits (the loader does not know it).
    """
    with quiet(), mock.patch.object(reader, "read_gguf_metadata", _without_absent_ids(reader.read_gguf_metadata)):
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    if metadata.get("tokenizer.ggml.pre") == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return tokenizer


def _without_absent_ids(read: Callable[..., tuple[Metadata, Any]]) -> Callable[..., tuple[Metadata, Any]]:
    def wrapper(*args: Any, **kwargs: Any) -> tuple[Metadata, Any]:
        metadata, names = read(*args, **kwargs)
        tokens = metadata.get("tokenizer.ggml.tokens", 0)
        size = tokens if isinstance(tokens, int) else len(tokens)
        special = [k for k in metadata if k.startswith("tokenizer.ggml.") and k.endswith("_token_id")]
        for key in special:
            if not 0 <= metadata[key] < size:
                del metadata[key]
        return metadata, names

    return wrapper
