"""Capture: the model as one FX graph for any batch and length, traced on the meta device without its weights."""

from __future__ import annotations

import contextlib
import copy
import inspect
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from transformers import PreTrainedConfig, PreTrainedModel

from ..errors import InputError
from ..sources import Source, build_skeleton
from ..sources.skeleton import quiet
from ..sources.source import Array
from .adapters import adapted, check_attention, in_spikes
from .attention import NAME, recording
from .masks import MaskRule, read_mask
from .rope import fix_rope

MAX_BATCH, MAX_LENGTH = 1 << 16, 1 << 24

# Our names of what transformers calls a model's inputs and outputs.
INPUTS = {"input_ids": "ids", "position_ids": "positions", "attention_mask": "mask", "token_type_ids": "types"}
OUTPUTS = {"logits": "logits", "last_hidden_state": "hidden", "pooler_output": "pooled"}


@dataclass(frozen=True)
class Captured:
    """A captured model: graph, and what the graph alone does not say.

    `buffers` holds the values of computed buffers by name, `masks` the rules that mask ops name by number,
    `aliases` the tied names, `tensors` the weights (None where only a config was captured), `rope_length` the length
    that rotary embeddings which change with it were fixed at.
    """

    config: PreTrainedConfig
    architecture: str
    exported: ExportedProgram
    outputs: tuple[str, ...]
    masks: tuple[MaskRule, ...]
    buffers: Mapping[str, torch.Tensor]
    aliases: Mapping[str, str]
    tensors: Mapping[str, Array] | None
    rope_length: int | None


def capture(model: Source | PreTrainedConfig, *, rope_length: int | None = None) -> Captured:
    """The graph of a model, from its source or its config alone.

    `rope_length` fixes rotary embeddings that change with length (see `fix_rope`). Raises InputError for a model
    that cannot be captured; the message says why.
    """
    config = copy.deepcopy(model.config if isinstance(model, Source) else model)
    remote = isinstance(model, Source) and bool(model.origin.get("remote_code"))
    skeleton = build_skeleton(config, trust_remote_code=remote)
    check_attention(skeleton)
    fixed = fix_rope(skeleton, rope_length)
    buffers = {name: b.detach().clone() for name, b in skeleton.named_buffers() if b.device.type != "meta"}
    skeleton.to("meta")
    exported, masks, outputs = _export(skeleton)
    _check_layers(skeleton, exported)
    return Captured(
        config=config,
        architecture=type(skeleton).__name__,
        exported=exported,
        outputs=outputs,
        masks=masks,
        buffers=buffers,
        aliases=model.aliases if isinstance(model, Source) else dict(skeleton.all_tied_weights_keys),
        tensors=model.tensors if isinstance(model, Source) else None,
        rope_length=fixed,
    )


def _export(model: PreTrainedModel) -> tuple[ExportedProgram, tuple[MaskRule, ...], tuple[str, ...]]:
    with quiet():
        _use_our_attention(model)
    ids = torch.zeros(2, 3, dtype=torch.int64, device="meta")
    axes = {0: Dim("B", min=1, max=MAX_BATCH), 1: Dim("S", min=1, max=MAX_LENGTH)}
    inputs = {name: torch.zeros_like(ids) for name in _inputs(model)}
    caches = "use_cache" in inspect.signature(model.forward).parameters
    kwargs: dict[str, Any] = {**inputs, "use_cache": False} if caches else {**inputs}
    shapes: dict[str, Any] = {name: axes if name in inputs else None for name in kwargs}
    with recording() as functions, _tracing(model):
        exported = torch.export.export(model, (), kwargs, dynamic_shapes=shapes, strict=False)
        if not _functional(exported):  # putting it into that form costs twice the export itself
            exported = exported.run_decompositions({})
    outputs = tuple(OUTPUTS.get(str(key), str(key)) for key in exported.call_spec.out_spec.context or ())
    masks = (MaskRule(causal=True, window=0),) if in_spikes(model) else tuple(map(read_mask, functions))
    return exported, masks, outputs


def _functional(exported: ExportedProgram) -> bool:
    """Whether no op writes into its operands and none holds a graph of its own."""
    ops = [n.target for n in exported.graph.nodes if n.op == "call_function"]
    writes = any(op._schema.is_mutable for op in ops if isinstance(op, torch._ops.OpOverload))
    nested = any(isinstance(op, torch._ops.HigherOrderOperator) for op in ops)
    return not writes and not nested


def _use_our_attention(model: PreTrainedModel) -> None:
    if in_spikes(model):
        return
    model.set_attn_implementation(NAME)
    for module in model.modules():  # families outside the interface do not take it over, but their masks do
        config = getattr(module, "config", None)
        if isinstance(config, PreTrainedConfig):
            config._attn_implementation_internal = NAME


def _inputs(model: PreTrainedModel) -> list[str]:
    """The inputs to trace with: those a model takes, token types only where it has a table of them."""
    takes = inspect.signature(model.forward).parameters
    wanted = ["input_ids", "attention_mask", "position_ids"]
    if getattr(model.config, "type_vocab_size", 0):
        wanted.append("token_type_ids")
    return [name for name in wanted if name in takes]


@contextlib.contextmanager
def _tracing(model: PreTrainedModel) -> Iterator[None]:
    """Quiet, without gradients, with adapters; whatever tracing raises becomes an InputError of one line."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.no_grad())
        stack.enter_context(adapted(model))
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # torch.export raises many kinds
            said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise InputError(f"{type(model).__name__}: cannot be captured by torch.export: {said}") from error


def _check_layers(model: PreTrainedModel, exported: ExportedProgram) -> None:
    """Raises InputError unless each layer has one attention op of ours."""
    wanted = "sdllm.lif_coincide.default" if in_spikes(model) else "sdllm.attend.default"
    found = sum(str(n.target) == wanted for n in exported.graph.nodes)
    layers = model.config.num_hidden_layers
    if found != layers:
        raise InputError(
            f"{model.config.model_type}: {found} of {layers} layers have attention that can be captured; not supported"
        )
