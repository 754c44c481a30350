"""The lowering rules, larger patterns before smaller ones: the first that matches a node is taken."""

from . import activation, arithmetic, attention, embed, linear, norm, rope, shape

RULES = (
    *norm.RULES,
    *rope.RULES,
    *activation.RULES,
    *attention.RULES,
    *embed.RULES,
    *linear.RULES,
    *shape.RULES,
    *arithmetic.RULES,
)

__all__ = ["RULES"]
