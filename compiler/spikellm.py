"""The recipe `spikellm`: its options, and the pipeline they stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..passes import Options, PassError


@dataclass(frozen=True)
class Choices(Options, ABC):
    """Options of a recipe, which decide its pipeline."""

    @property
    @abstractmethod
    def passes(self) -> str:
        """The pipeline. Raises PassError for options that do not go together."""


@dataclass(frozen=True)
class SpikeLLM(Choices):
    """Options of the recipe `spikellm` (SpikeLLM, arXiv 2407.04752); what is published is in docs/recipes.md.

    pipeline gptq has symmetric GIF spikes, so that linear layers only add, and GPTQ weights; omniquant has asymmetric
    ones and weights with learned clipping. T is the steps of salient channels, whose grid has log2 T bits more; T=1 is
    the same pipeline without spikes in salient channels. share of the channels is salient (0: 10 % at T=2, 5 % at
    T=4), picked by `salient`, a method of allocate-steps. saturate=true lets the top codes of the salient grid
    saturate, as published; false takes one step more.
    """

    name = "spikellm"
    pipeline: str = "gptq"
    T: int = 2
    weights: int = 4
    activations: int = 4
    group: int = 64
    share: float = 0.0
    salient: str = "obs"
    saturate: bool = True
    rotate: bool = False
    attention: bool = True
    preset: str = "hour"

    @property
    def passes(self) -> str:
        """The pipeline. Raises PassError for options that do not go together."""
        if self.pipeline not in ("gptq", "omniquant"):
            raise PassError(f"spikellm: pipeline={self.pipeline} is none of gptq, omniquant")
        if self.T not in (1, 2, 4):
            raise PassError(f"spikellm: T={self.T} is none of 1, 2, 4")
        if not 2 <= self.activations <= 8:
            raise PassError(f"spikellm: activations={self.activations}: a spike has 2 to 8 bits")
        parts = ["fold-norms,fold-scales,rotate{strict=false}"] if self.rotate else []
        if self.T > 1:
            share = self.share or {2: 0.1, 4: 0.05}[self.T]
            attention = str(self.attention).lower()
            parts.append(f"allocate-steps{{method={self.salient},share={share:g},attention={attention}}}")
        parts.append(self._weights())
        parts.append(self._encoders())
        return ",".join(parts)

    def _weights(self) -> str:
        given = f"bits={self.weights},group={self.group}"
        if self.pipeline == "gptq":
            return f"quantize-weights{{method=gptq,{given}}}"
        more = {2: 1, 4: 2}.get(self.T, 0)
        learned = f"preset={self.preset},activations={self.activations},salient={self.activations + more}"
        return f"quantize-weights{{method=omniquant,{given},minimum=true,{learned}}}"

    def _encoders(self) -> str:
        signed = self.pipeline == "gptq"
        half = 2 ** (self.activations - 1)
        levels, sign = (half, ":true") if signed else (2 * half, "")
        given = {"code": f"gif:{levels}:1{sign}"}
        if self.T > 1:
            top = levels * self.T - 1
            steps = self.T if self.saturate else -(-top // (levels - 1))
            given["salient"], given["salient_levels"] = f"gif:{levels}:{steps}{sign}", str(top)
        if self.attention:
            given["attention_code"] = f"gif:{half}:1:true"
            if self.T > 1:
                given["attention_salient"] = f"gif:{half}:2:true"
        else:
            given["attention"] = "false"
        return "insert-encoders{" + ",".join(f"{k}={v}" for k, v in given.items()) + "}"
