"""Small whole models, for tests of anything that runs, costs, rewrites or stores a program."""

from sdllm.backends.conformance.toy import HEADS, VOCABULARY, WIDTH, Toy, toy_decoder

__all__ = ["HEADS", "VOCABULARY", "WIDTH", "Toy", "toy_decoder"]
