"""The command line. Each subcommand is a file of its own; nothing heavy is imported before it runs."""

from .main import main

__all__ = ["main"]
