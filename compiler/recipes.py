"""Recipes: named pipelines. Ours are entry points of the group `sdllm.recipes`, like anyone's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..backends.registry import NotFound, find
from ..passes import Pass, PassError, split_pipeline
from .spikellm import Choices, SpikeLLM


@dataclass(frozen=True, slots=True)
class Recipe:
    """A pipeline under a name, with the work it comes from; `options`, where it has any, make another pipeline."""

    name: str
    summary: str
    pipeline: str
    options: type[Choices] | None = None


DENSE = Recipe("dense", "no spikes: the captured model as it is", "")

SDLLM = Recipe(
    "sdllm",
    "SDLLM (arXiv 2604.16475): 4-bit weights, rotation, ternary spikes in 7 steps, membrane clipping",
    "fold-norms,fold-scales,rotate{strict=false},quantize-weights{method=gptq,bits=4,group=64},"
    "insert-encoders{levels=15},halve-steps,clip-membranes",
)

DIGIT_RAMP = Recipe(
    "digit-ramp",
    "ours: a spike budget for the whole model; large counts as signed digits, small ones as one timed spike, in 16 "
    "steps; 4-bit weights on one scale a row",
    "quantize-weights{bits=4,group=32,rows=true},"
    "insert-encoders{code=digit_ramp:6:4:10,threshold=mean,factor=0.25,overflow=widen,price=0.3,attention_code=csd:7},"
    "allocate-spikes{additions=0.98,strict=false}",
)

DIGIT_RAMP_40 = Recipe(
    "digit-ramp-40",
    "digit-ramp with finer counts in 40 steps: closer to the source, with fewer additions",
    "quantize-weights{bits=4,group=32,rows=true},"
    "insert-encoders{code=digit_ramp:8:6:32,threshold=mean,factor=0.15,overflow=widen,price=1,attention_code=csd:7},"
    "allocate-spikes{additions=0.885,strict=false}",
)


SPIKELLM = Recipe(
    "spikellm",
    "SpikeLLM (arXiv 2407.04752): spikes of several levels, and more steps for salient channels (Optimal Brain "
    "Spiking); options pipeline, T, weights, activations and others",
    SpikeLLM().passes,
    SpikeLLM,
)

BISPIKCLM = Recipe(
    "bispikclm",
    "BiSpikCLM (arXiv 2605.13859): a student of `sdllm-compile distill`, binary spikes without softmax; checked to "
    "multiply no floats between embedding and head",
    "check-additions",
)


def usual(model: str) -> str:
    """The recipe of a model where none is named: a student's own, else `sdllm`."""
    try:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return SDLLM.name
    student = isinstance(config, dict) and config.get("model_type") == BISPIKCLM.name
    return BISPIKCLM.name if student else SDLLM.name


def recipe(text: str) -> Recipe:
    """The recipe of that name, with the options that follow it: `spikellm{T=4}`. Raises NotFound or PassError."""
    (name, options), *more = list(split_pipeline(text)) or [(text, {})]
    if more:
        raise PassError(f"recipe {text}: is more than one")
    found = find("sdllm.recipes", name)
    if not isinstance(found, Recipe):
        raise NotFound(f"recipe '{name}' is no sdllm.compiler.recipes.Recipe but {type(found).__name__}")
    if not options:
        return found
    if found.options is None:
        raise PassError(f"recipe {name} has no options; --pipeline spells one out")
    return replace(found, pipeline=found.options.parse(options).passes)


def pass_class(name: str) -> type[Pass]:
    """The pass of that name. Raises NotFound."""
    found = find("sdllm.passes", name)
    if not (isinstance(found, type) and issubclass(found, Pass)):
        raise NotFound(f"pass '{name}' is no sdllm.passes.Pass")
    return found


def parse_pipeline(text: str) -> Sequence[Pass]:
    """`a,b{x=1}` to passes. Raises NotFound for an unknown pass, PassError for a bad option."""
    return [pass_class(name).parse(options) for name, options in split_pipeline(text)]


__all__ = [
    "BISPIKCLM",
    "DENSE",
    "DIGIT_RAMP",
    "DIGIT_RAMP_40",
    "SDLLM",
    "SPIKELLM",
    "Recipe",
    "parse_pipeline",
    "pass_class",
    "recipe",
    "usual",
]
