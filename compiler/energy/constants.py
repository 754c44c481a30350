"""Prices and published settings. Energies are in pJ, an operation or 32 bits moved; 45 nm.

Arithmetic: Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014. Memory: the same source as
commonly tabulated for 32 bits (8 kB of SRAM; DRAM at the low end of its range).
"""

from __future__ import annotations

FP32_ADD = 0.9
FP32_MUL = 3.7
FP32_MAC = 4.6
FP16_MAC = 1.5
INT32_ADD = 0.1
INT32_MUL = 3.1
INT8_MAC = 0.23

WORD = 32  # bits that one access of the prices below moves
SRAM = 5.0
DRAM = 640.0
REGISTER = 0.0  # not counted, for membranes and for the accumulators of dense models alike

# Our choice, in favour of nobody: a comparison for the threshold, a multiply by its inverse, a rounding.
ENCODE = FP32_ADD + FP32_MUL + FP32_ADD
# One step of a leaky neuron in fixed point: leak (a multiply), input, comparison.
NEURON = INT32_MUL + 2 * INT32_ADD

MEMBRANE_BITS = 32
EVENT_BITS = 32  # a spike as it travels: one word with its address
SCALE_BITS = 16  # scales and minima of weight groups
FLOAT_BITS = 32
FIXED_BITS = 16  # weights of LIF layers
BINARY_BITS = 1
ROW_BITS = 16  # an integer step·code + offset, which spikes add where rows have one scale

# SDLLM, arXiv 2604.16475: weights stated, spikes and sequence fitted to its published joules (derived).
PUBLISHED_BITS = 4
FITTED_SPIKES = 0.862
FITTED_TOKENS = 1024
# Where its paper is silent (reconstruction): 8-bit queries and probabilities meet spiked keys and values.
OPERAND_BITS = 8

PICO = 1e-12
