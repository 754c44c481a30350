"""The reference interpreter, in torch."""

from .kernel import KERNELS, Call, Kernel, WeightData
from .run import Interpreter, RunState

__all__ = ["KERNELS", "Call", "Interpreter", "Kernel", "RunState", "WeightData"]
