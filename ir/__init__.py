"""The language: types, ops, spike codes, text form, verifier, weight store and builder.

The reference interpreter is `sdllm.ir.interpreter`; it alone imports torch.
"""

from .build import Builder, Rewriter
from .codes import CODES, CSD, GIF, Binary, Bits, Code, DigitRamp, Ramp, SignedBits, Ternary, parse_code
from .errors import IRError
from .ops import OPS, Work, infer_types
from .parser import parse_program, parse_type, parse_weight_type
from .printer import FORMAT, print_op, print_program
from .program import NOWHERE, Loc, Op, Program, State, Value, Weight
from .store import Store, dequantize, digest
from .types import (
    Current,
    Dim,
    FixedWeight,
    FloatWeight,
    GridWeight,
    Ints,
    Membrane,
    Plane,
    RowWeight,
    Segment,
    Spikes,
    Tensor,
    Train,
    Type,
    WeightType,
    planes,
)
from .verify import verify

__all__ = [
    "CODES", "CSD", "FORMAT", "GIF", "NOWHERE", "OPS", "Binary", "Bits", "Builder", "Code", "Current", "DigitRamp",
    "Dim", "FixedWeight", "FloatWeight", "GridWeight", "IRError", "Ints", "Loc", "Membrane", "Op", "Plane", "Program",
    "Ramp", "Rewriter", "RowWeight", "Segment", "SignedBits", "Spikes", "State", "Store", "Tensor", "Ternary", "Train",
    "Type", "Value", "Weight", "WeightType", "Work", "dequantize", "digest", "infer_types", "parse_code",
    "parse_program", "parse_type", "parse_weight_type", "planes", "print_op", "print_program", "verify",
]  # fmt: skip
