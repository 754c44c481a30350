"""sdllm: Hugging Face transformers in, spike programs out."""
