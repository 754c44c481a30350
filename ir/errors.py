"""Errors of the language: a malformed text, an ill-typed op, a program that does not verify."""


class IRError(Exception):
    """A program or its text is wrong; the message names the op (or line) and its location."""
