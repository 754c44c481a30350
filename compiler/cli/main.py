"""sdllm-compile: finds the subcommand, runs it, and turns what went wrong into one line and an exit code.

Exit codes: 0 done, 1 a check failed, 2 the input or the call is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

COMMANDS = (
    "compile",
    "run",
    "eval",
    "verify",
    "inspect",
    "report",
    "diff",
    "trace",
    "explain",
    "energy",
    "distill",
    "tune",
    "calibrate-machine",
    "backends",
    "passes",
    "recipes",
    "new",
    "demo",
)


INTERRUPTED = "interrupted; nothing half-made was left behind"


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a call in one line, as everything else does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Parser(
        prog="sdllm-compile",
        description="Turn a Hugging Face transformer into a spike program, run it, and see what it costs.",
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    subs = top.add_subparsers(dest="command", metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f".{name.replace('-', '_')}", __package__)
        sub = subs.add_parser(name, help=module.HELP, description=module.HELP)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        module.arguments(sub)
        sub.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        if not any(word.startswith(("-o", "--o", "-h", "--h")) for word in given):
            return _say(f"'{given[0]}' is no command ({', '.join(COMMANDS)}); to compile a model give -o OUT", 2)
        given.insert(0, "compile")  # `sdllm-compile MODEL -o OUT`
    args = parser().parse_args(given)
    if args.version:
        from importlib.metadata import version

        print(f"sdllm {version('sdllm')}")
        return 0
    if args.command is None:
        parser().print_help()
        return 2
    return guarded(args)


def guarded(args: argparse.Namespace) -> int:
    """Run a parsed command, its failures as one line on stderr."""
    from ..memory import keep_freed_memory

    keep_freed_memory()
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return _say(INTERRUPTED, 130)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _say(f"{error.filename or 'writing'}: the disk is full; free some space", 2)
        return _say(f"{error.filename or args.command}: {error.strerror or error}", 2)
    except Exception as error:
        if _by_interrupt(error):
            return _say(INTERRUPTED, 130)
        if not _expected(error):
            raise
        return _say(" ".join(str(error).split()), 2)


def _by_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: lazy imports of other packages turn it into one of their own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _expected(error: Exception) -> bool:
    from ...backends.registry import NotFound
    from ...ir import IRError
    from ..errors import InputError

    known: tuple[type[Exception], ...] = (InputError, IRError, NotFound)
    if "sdllm.passes.base" in sys.modules:
        from ...passes import PassError

        known = (*known, PassError)
    return isinstance(error, known)


def _say(message: str, code: int) -> int:
    print(f"sdllm-compile: {message}", file=sys.stderr)
    return code
