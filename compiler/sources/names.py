"""From names in a checkpoint to names in the model, as transformers itself maps them when it loads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from ..errors import InputError
from .checkpoint import Checkpoint, CheckpointFiles


@dataclass(frozen=True)
class Names:
    """Parameter names to keys of the checkpoint, tied names to the name that stands for them, and keys not needed."""

    entries: Mapping[str, str]
    aliases: Mapping[str, str]
    unused: tuple[str, ...]


# What old checkpoints hold besides weights, and models compute themselves.
COMPUTED = re.compile(r"(rotary_emb\.(inv_freq|cos_cached|sin_cached)|position_ids|attn\.(masked_)?bias)$")


def resolve_names(model: PreTrainedModel, files: CheckpointFiles) -> Names:
    """Where each parameter lies, and which parameters are one.

    Raises InputError where parameters are missing, have another shape, or are stored merged.
    """
    state = model.state_dict()
    found = _rename(model, files, state)
    aliases = _ties(model, files, found)
    missing = sorted(n for n in state if aliases.get(n, n) not in found)
    where = _where(files)
    if missing:
        raise InputError(
            f"{where}: {len(missing)} of {len(state)} tensors are missing ('{missing[0]}' …); "
            "is this the checkpoint of this config?"
        )
    for name, tensor in state.items():
        have = files.shapes[found[aliases.get(name, name)]]
        if have != tuple(tensor.shape):
            raise InputError(
                f"{where}: '{name}' has shape {list(have)}, but the config says {list(tensor.shape)}; "
                "is this the checkpoint of this config?"
            )
    ignored = model._keys_to_ignore_on_load_unexpected or ()
    unused = [key for key in sorted(set(files.where) - set(found.values())) if not COMPUTED.search(key)]
    unused = [key for key in unused if not any(re.search(pattern, key) for pattern in ignored)]
    return Names({name: found[aliases.get(name, name)] for name in state}, aliases, tuple(unused))


def _where(files: CheckpointFiles) -> str:
    return str(min(files.files).parent)


def _rename(model: PreTrainedModel, files: CheckpointFiles, state: Mapping[str, object]) -> dict[str, str]:
    transforms = get_model_conversion_mapping(model)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    found: dict[str, str] = {}
    meta = dict(state)
    for key in sorted(files.where):
        name, pattern = rename_source_key(key, renamings, converters, model.base_model_prefix, meta)
        if name not in state and key in state:
            name, pattern = key, None
        if name in state and pattern is not None:
            raise InputError(
                f"{_where(files)}: '{key}' is stored in another layout than '{name}' needs; "
                "load the model with transformers, save it with save_original_format=False, and compile that"
            )
        if name in state:
            found[name] = key
    return found


def _ties(model: PreTrainedModel, files: CheckpointFiles, found: dict[str, str]) -> dict[str, str]:
    """Tied names to the one that is on disk. Names the config ties but the checkpoint tells apart are not tied."""
    groups: dict[str, list[str]] = {}
    for target, source in model.all_tied_weights_keys.items():
        groups.setdefault(source, [source]).append(target)
    aliases: dict[str, str] = {}
    for source, names in groups.items():
        here = [n for n in names if n in found]
        if not here:
            continue
        head = source if source in found else here[0]
        for name in names:
            if name == head or (name in found and not _same(files, found[name], found[head])):
                continue
            aliases[name] = head
            found.setdefault(name, found[head])
    return aliases


def _same(files: CheckpointFiles, a: str, b: str) -> bool:
    if files.shapes[a] != files.shapes[b]:
        return False
    both = Checkpoint(files, {a: a, b: b})
    return bool(np.array_equal(both[a], both[b]))
