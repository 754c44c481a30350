"""Packages that `sdllm-compile new` writes, from the templates beside this file."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path

import jinja2

from ..errors import InputError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def names(name: str) -> dict[str, str]:
    """What a backend's package, module and class are called. Raises InputError for a name that cannot be."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputError(f"'{name}' is no name for a backend; give lower-case letters and digits, such as my-chip")
    class_name = "".join(part.capitalize() for part in name.split("-"))
    return {
        "name": name,
        "distribution": f"sdllm-{name}",
        "module": f"sdllm_{name.replace('-', '_')}",
        "class_name": class_name,
    }


def render(called: dict[str, str]) -> dict[str, str]:
    """The files of a backend's package, by name."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    found = {}
    for template in sorted(files(__name__).joinpath("backend").iterdir(), key=lambda t: t.name):
        if template.name.endswith(".j2"):
            name = template.name.removesuffix(".j2").replace("backend.py", f"{called['module']}.py")
            found[name] = environment.from_string(template.read_text(encoding="utf-8")).render(called)
    return found


def write_backend(name: str, out: Path) -> list[Path]:
    """Write the package of a new backend, whole or not at all; gives its files.

    Raises InputError if the name cannot be, or something is at `out` already.
    """
    made = render(names(name))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists already; give another -o")
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        raise InputError(f"{partial}: exists already, from a call that was stopped maybe; remove it")
    partial.mkdir(parents=True)
    for file, text in made.items():
        (partial / file).write_text(text, encoding="utf-8", newline="\n")
    if out.exists():
        out.rmdir()
    partial.rename(out)
    return [out / file for file in made]
