"""What is counted while events happen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Count:
    """Spikes and additions of one spiked product since the model was loaded (fields as in sdllm's SpikeCount)."""

    op: str
    module: str
    code: str
    values: int = 0
    spikes: int = 0
    nonzero: int = 0
    additions: int = 0
    macs: int = 0
    updates: int = 0
    steps: list[int] = field(default_factory=list)

    def spiked(self, first: int, spikes: list[int]) -> None:
        """Note the spikes of time steps `first`, `first` + 1, …"""
        self.steps += [0] * (first + len(spikes) - len(self.steps))
        for step, n in enumerate(spikes, first):
            self.steps[step] += n
        self.spikes += sum(spikes)
