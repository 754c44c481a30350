"""Which model families lower correctly: the table of families, the checks, and the page made of their results."""

from .families import FAMILIES, REFUSED, Family, Refused
from .parity import Result, Subject, check_family, prepare

__all__ = ["FAMILIES", "REFUSED", "Family", "Refused", "Result", "Subject", "check_family", "prepare"]
