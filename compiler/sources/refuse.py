"""Models that are refused before any work, each with its reason."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ..errors import InputError

# Where configs say how many experts a layer routes between.
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def refuse_raw(raw: dict[str, Any], where: Path, *, trust_remote_code: bool) -> None:
    """Look at config.json as it stands.

    Raises InputError for remote code without leave, weights that are already quantised, and unknown model types.
    """
    if raw.get("auto_map") and not trust_remote_code:
        raise InputError(
            f"{where}: the model needs code from its repository (auto_map); "
            "read that code, then pass --trust-remote-code if you trust it"
        )
    quantized = raw.get("quantization_config") or raw.get("compression_config")
    if quantized:
        method = quantized.get("quant_method") or "unnamed"
        raise InputError(
            f"{where}: the checkpoint is already quantised ({method}); start from its unquantised original"
        )
    kind = raw.get("model_type")
    if not kind:
        raise InputError(f"{where}: has no model_type; is this a transformers model?")
    if kind not in CONFIG_MAPPING and not raw.get("auto_map"):
        near = ", ".join(difflib.get_close_matches(kind, list(CONFIG_MAPPING), 3))
        nearest = f" (nearest: {near})" if near else ""
        raise InputError(
            f"{where}: model_type '{kind}' is not known to transformers{nearest}; upgrade it or fix the name"
        )


def refuse_config(config: PreTrainedConfig) -> None:
    """Raises InputError for mixtures of experts and for models with an encoder and a decoder."""
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"{kind}: models with encoder and decoder are not supported; use a decoder or an encoder alone"
        )
    for name in EXPERTS:
        experts = getattr(config, name, None)
        if isinstance(experts, int) and experts > 1:
            raise InputError(
                f"{kind}: a mixture of {experts} experts ({name}) is not supported, as which weights spikes meet "
                "would depend on the token; use a dense model"
            )
