"""What the command line turns into exit code 2."""


class InputError(Exception):
    """The user's input is wrong. The message is one line: what is wrong, where, and what to do."""
