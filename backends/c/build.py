"""From C to a shared library, by the compiler that is there. What does not differ between models is compiled once."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ...ir import IRError

FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-ffp-contract=off", "-fPIC")
OBJECTS = (
    "model", "runtime", "threads", "weights", "kernels", "ops_generic", "lif", "tokenizer", "nfc", "split", "bpe",
)  # fmt: skip
LIBRARY = "libmodel.so"


def compiler() -> list[str]:
    """The C compiler, from $CC or the usual names. Raises IRError if there is none."""
    if given := os.environ.get("CC"):
        return shlex.split(given)
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if found is None:
        raise IRError("the c backend needs a C compiler (cc, gcc or clang, or $CC), and there is none")
    return [found]


def cache() -> Path:
    """The folder of compiled objects: $SDLLM_CACHE, or in the user's cache."""
    given = os.environ.get("SDLLM_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sdllm"
    return base / "c"


def flags() -> list[str]:
    """How to compile: $SDLLM_CFLAGS in place of -O3."""
    return [*FLAGS, *shlex.split(os.environ.get("SDLLM_CFLAGS", "-O3"))]


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise IRError(f"the C compiler {command[0]} does not run: {error.strerror}") from error
    if done.returncode or done.stderr:
        first = next((line for line in done.stderr.splitlines() if "error" in line or "warning" in line), done.stderr)
        if done.returncode:
            raise IRError(f"the C compiler failed: {first.strip()}")


def _key(folder: Path, name: str, command: list[str]) -> str:
    """What an object depends on: its source, all headers, compiler and flags."""
    total = hashlib.sha256("\0".join([sys.platform, *command]).encode())
    for path in [folder / f"{name}.c", *sorted(folder.glob("*.h"))]:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:32]


def _into(path: Path, command: list[str]) -> None:
    """Run a command that ends in its output's path, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
    os.close(handle)
    try:
        _run([*command, name])
        Path(name).chmod(0o755)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def sources(folder: Path) -> list[str]:
    """What an emitted folder is built from, by its Makefile, as earlier versions emitted fewer. Raises IRError if some
    of it is not there."""
    try:
        made = re.search(r"^OBJECTS *:= *(.*)$", (folder / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError as error:
        raise IRError(f"{folder}: {error.strerror}: Makefile; emit the folder again") from error
    names = [Path(name).stem for name in made[1].split()] if made else list(OBJECTS)
    if missing := next((n for n in names if not (folder / f"{n}.c").exists()), None):
        raise IRError(f"{folder}: there is no {missing}.c, which its Makefile names; emit the folder again")
    return names


def library(folder: Path) -> Path:
    """The shared library of an emitted model, built if it is not there. Raises IRError in one line if that fails."""
    command = [*compiler(), *flags()]
    objects: list[Path] = []
    keys = hashlib.sha256()
    names = sources(folder)
    for name in names:
        key = _key(folder, name, command)
        keys.update(key.encode())
        objects.append(cache() / f"{name}-{key}.o")
    made = cache() / f"model-{keys.hexdigest()[:32]}" / LIBRARY
    if made.exists():
        return made
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as own:
        objects[0] = Path(own) / "model.o"  # the library alone holds it, and others may build the same one now
        for name, path in zip(names, objects, strict=True):
            if not path.exists():
                _into(path, [*command, "-c", str(folder / f"{name}.c"), "-o"])
        link = [*compiler(), *(f for f in flags() if f.startswith(("-fsanitize", "-O")))]
        _into(made, [*link, "-shared", *map(str, objects), "-lm", "-lpthread", "-o"])
    return made
