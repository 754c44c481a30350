"""What differs between two programs: figures first, then ops by module, then weights."""

from .compare import Difference, difference
from .sides import Side, between_passes, open_side

__all__ = ["Difference", "Side", "between_passes", "difference", "open_side"]
