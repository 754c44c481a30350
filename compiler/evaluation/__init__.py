"""Evaluation: perplexity and choice tasks, of a source model or of a compiled folder, and how sure a difference is."""
