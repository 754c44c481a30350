"""The lowering rules, larger patterns before smaller ones: the first that matches a node is taken."""

from . import activation, arithmetic, attention, embed, lif, linear, norm, rope, shape

RULES = (
    *norm.RULES,
    *rope.RULES,
    *activation.RULES,
    *attention.RULES,
    *lif.RULES,
    *embed.RULES,
    *linear.RULES,
    *shape.RULES,
    *arithmetic.RULES,
)

__all__ = ["RULES"]
