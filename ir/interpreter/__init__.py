"""The reference interpreter, in torch."""

from .kernel import KERNELS, Call, WeightData
from .run import Interpreter, RunState

__all__ = ["KERNELS", "Call", "Interpreter", "RunState", "WeightData"]
