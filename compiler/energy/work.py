"""What one sequence costs in operations, before any price."""

from __future__ import annotations

from dataclasses import dataclass

from .part import Part


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product over one sequence.

    `macs` are the multiply-adds of the dense product (not halved for the causal mask), `operand_bits` the width of what
    each addition reads (a weight; in attention a query or probability), `stored_bits` that of the quantised weight
    where it is kept more tightly than it is added (0: the same), `values` the activations a linear layer reads
    (attention's are in the cache). Of a spiked one: `additions` are synaptic operations, `updates` doublings of
    membranes and slopes added to them (ramp codes), `spikes` the ±1 events that drive a linear layer, `cells` membrane
    cells (outputs times planes); `float_adds` says that the membrane sums float weights.
    """

    attention: bool
    spiked: bool
    macs: float
    operand_bits: float
    stored_bits: float = 0.0
    values: float = 0.0
    additions: float = 0.0
    updates: float = 0.0
    spikes: float = 0.0
    cells: float = 0.0
    float_adds: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The vocabulary projection, in float in source and spike program alike: multiply-adds, and bits of its weights."""

    macs: float = 0.0
    bits: float = 32.0


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Work that no column counts: its share of a program's operations, None where only a config is known."""

    kind: str
    share: float | None


@dataclass(frozen=True)
class Work:
    """One sequence of `tokens` tokens through the decoder layers.

    `extras` is arithmetic beside the products, already priced (read-out, encoders, rotations). `scale_bits` are the
    bits of weight scales read in all; `kv_values` numbers and `kv_bits` bits a token adds to the cache; `weights` the
    parameters of all linear layers. `spikes_from` is measured, fitted or given.
    """

    name: str
    tokens: int
    products: tuple[Product, ...]
    extras: tuple[Part, ...]
    scale_bits: float
    kv_values: float
    kv_bits: float
    weights: float
    head: Head
    uncounted: tuple[Uncounted, ...]
    spikes_from: str

    @property
    def macs(self) -> float:
        """Dense multiply-adds of all products."""
        return sum(p.macs for p in self.products)

    @property
    def spikes(self) -> float:
        """Effective spikes: additions for each multiply-add that they replace (T_eff)."""
        replaced = sum(p.macs for p in self.products if p.spiked)
        return sum(p.additions for p in self.products) / replaced if replaced else 0.0

    @property
    def bits(self) -> float:
        """Bits of a weight, averaged over the multiply-adds of spiked linear layers; 32 where none is spiked."""
        linears = [p for p in self.products if p.spiked and not p.attention]
        total = sum(p.macs for p in linears)
        return sum((p.stored_bits or p.operand_bits) * p.macs for p in linears) / total if total else 32.0
