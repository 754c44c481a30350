"""BiSpikCLM students (arXiv 2605.13859) as transformers models: binary spikes, no softmax.

Importing this package makes `AutoConfig` and `AutoModelForCausalLM` know the model type `bispikclm`.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from .config import BiSpikCLMConfig
from .model import BiSpikCLMForCausalLM, BiSpikCLMModel

AutoConfig.register("bispikclm", BiSpikCLMConfig, exist_ok=True)
AutoModel.register(BiSpikCLMConfig, BiSpikCLMModel, exist_ok=True)
AutoModelForCausalLM.register(BiSpikCLMConfig, BiSpikCLMForCausalLM, exist_ok=True)

__all__ = ["BiSpikCLMConfig", "BiSpikCLMForCausalLM", "BiSpikCLMModel"]
