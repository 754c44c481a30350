"""Pipelines tried on a model: what each costs and how well it predicts, kept so that nothing is measured twice."""

from .cost import Cost, cost_of
from .trials import Outcome, Trials

__all__ = ["Cost", "Outcome", "Trials", "cost_of"]
