"""The recipe `spikellm`: its options, and the pipeline they stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
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
    saturate, as published; false takes one step more. With activations of 16 bits it is weights that spike: those of
    salient channels, in whole groups, in T steps.
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
        if not (2 <= self.activations <= 8 or self.activations == 16):
            raise PassError(f"spikellm: activations={self.activations}: 2 to 8 bits, or 16, where weights spike")
        if self.activations == 16 and self.group < 1:
            raise PassError(f"spikellm: group={self.group}: where weights spike, salient channels are in whole groups")
        parts = ["fold-norms,fold-scales,rotate{strict=false}"] if self.rotate else []
        if self.T > 1:
            parts.append(_called("allocate-steps", self._salient))
        parts.append(_called("quantize-weights", self._weights))
        parts.append(_called("insert-encoders", self._encoders))
        return ",".join(parts)

    @property
    def _signed(self) -> bool:
        return self.pipeline == "gptq"

    def _spikes(self, bits: int) -> dict[str, str]:
        """Spikes of so many bits, and those of salient channels with the top of their grid."""
        levels = 2 ** (bits - self._signed)
        sign, top = ":true" * self._signed, levels * self.T - 1
        steps = self.T if self.saturate else -(-top // (levels - 1))
        return {"code": f"gif:{levels}:1{sign}", "salient": f"gif:{levels}:{steps}{sign}", "top": str(top)}

    @property
    def _salient(self) -> dict[str, str]:
        wide = self.activations == 16
        given = {"method": self.salient, "share": f"{self.share or {2: 0.1, 4: 0.05}[self.T]:g}"}
        given["attention"] = str(self.attention and not wide).lower()
        return {**given, "multiple": str(self.group)} if wide else given

    @property
    def _weights(self) -> dict[str, str]:
        given = {"method": self.pipeline, "group": str(self.group)}
        if not self._signed:
            given["minimum"] = "true"
        if self.activations == 16:
            spikes = self._spikes(self.weights)
            given["code"] = spikes["code"]
            if self.T > 1:
                given["salient_code"] = spikes["salient"]
            return given if self._signed else {**given, "preset": self.preset}
        given["bits"] = str(self.weights)
        if not self._signed:
            more = {2: 1, 4: 2}.get(self.T, 0)
            given |= {"preset": self.preset, "activations": str(self.activations)}
            given["salient"] = str(self.activations + more)
            if self.attention:
                given["attention"] = str(self.activations)
        return given

    @property
    def _encoders(self) -> dict[str, str]:
        if self.activations == 16:
            return {"code": "bits:16", "attention": "false"}
        spikes = self._spikes(self.activations)
        given = {"code": spikes["code"]}
        if self.T > 1:
            given |= {"salient": spikes["salient"], "salient_levels": spikes["top"]}
        if not self.attention:
            return {**given, "attention": "false"}
        half = 2 ** (self.activations - 1)
        given["attention_code"] = f"gif:{half}:1:true"
        return {**given, "attention_salient": f"gif:{half}:2:true"} if self.T > 1 else given


def _called(name: str, options: Mapping[str, str]) -> str:
    """A pass with its options."""
    return f"{name}{{{','.join(f'{key}={value}' for key, value in options.items())}}}"
