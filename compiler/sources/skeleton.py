"""The model without its weights: parameters on the meta device, computed buffers real."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import transformers
from accelerate import init_empty_weights
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

from ..errors import InputError
from .refuse import refuse_config

HEADS = ("ForCausalLM", "LMHeadModel", "ForMaskedLM", "Model")


def build_skeleton(config: PreTrainedConfig, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model of `config.architectures[0]` in eval mode, holding no weights.

    Buffers that no checkpoint holds (inverse frequencies, embedding scales) have their values.
    Raises InputError where the architecture is unknown or unsupported, or the config is inconsistent.
    """
    refuse_config(config)
    model_class = architecture(config, trust_remote_code=trust_remote_code)
    try:
        with quiet(), init_empty_weights(include_buffers=False):
            return model_class(config).eval()
    except Exception as error:  # what a config may break inside transformers is open-ended
        said = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"config of {model_class.__name__}: no model can be built from it: {said[0]}") from error


def architecture(config: PreTrainedConfig, *, trust_remote_code: bool = False) -> type[Any]:
    """The model class a config names, or the usual one of its model type. Raises InputError if there is none."""
    name = (config.architectures or [None])[0]
    remote = getattr(config, "auto_map", None)
    if remote and trust_remote_code:
        return _remote_class(config, remote)
    if name is None:
        return _usual_class(config)
    found = getattr(transformers, name, None) or _registered(config, name)
    if found is None or not isinstance(found, type) or not issubclass(found, PreTrainedModel):
        raise InputError(
            f"{config.model_type}: transformers has no architecture '{name}'; fix `architectures` in config.json"
        )
    if not name.endswith(HEADS):
        raise InputError(
            f"{config.model_type}: architecture {name} is not supported; "
            f"models for language modelling are ({', '.join('*' + h for h in HEADS)})"
        )
    return found


def _registered(config: PreTrainedConfig, name: str) -> type[Any] | None:
    """The class of that name that was registered with transformers for this kind of config, as our own students' is."""
    for mapping in (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING, modeling_auto.MODEL_MAPPING):
        if type(config) in mapping and mapping[type(config)].__name__ == name:
            found: type[Any] = mapping[type(config)]
            return found
    return None


def _usual_class(config: PreTrainedConfig) -> type[Any]:
    for mapping in (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING, modeling_auto.MODEL_MAPPING):
        if type(config) in mapping:
            found: type[Any] = mapping[type(config)]
            return found
    raise InputError(
        f"{config.model_type}: names no architecture and has no usual one; set `architectures` in config.json"
    )


def _remote_class(config: PreTrainedConfig, remote: dict[str, str]) -> type[Any]:
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    for auto in ("AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModel"):
        if auto in remote:
            found: type[Any] = get_class_from_dynamic_module(remote[auto], config._name_or_path)
            return found
    raise InputError(f"{config.model_type}: its remote code has no language model (auto_map: {', '.join(remote)})")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' warnings and progress bars: what matters of them we raise ourselves."""
    logger = logging.getLogger("transformers")
    level, bars = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
