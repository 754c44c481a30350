"""tokenizer.bin: what a program needs for text (runtime/tokenizer_file.h has the layout)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .bpe import Bpe, Unsupported, classes, read_bpe
from .nfc import composition
from .weightfile import checksum

NAME = "tokenizer.bin"
MAGIC, VERSION, HEADER = b"SDLLM-T\n", 1, 104
NONE = 0xFFFFFFFF
MARK, LATE = 1, 2


def write_tokenizer(out: Path, artifact: Path) -> dict[str, Any]:
    """Write the tokenizer of a compiled folder for C, and give what the manifest says of it: `text`, whether the
    program takes text, and if not, why."""
    path = artifact / "tokenizer.json"
    (out / NAME).unlink(missing_ok=True)
    try:
        if not path.exists():
            raise Unsupported("the model has no tokenizer.json")
        bpe = read_bpe(path)
    except Unsupported as error:
        return {"text": False, "why": str(error)}
    beside = artifact / "text.json"
    more = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    (out / NAME).write_bytes(_content(bpe, more.get("stop", []), more.get("chat")))
    return {"text": True}


def _content(bpe: Bpe, stops: Sequence[int], chat: Sequence[str] | None) -> bytes:
    blob = b"".join(bpe.texts)
    places = np.cumsum([0, *map(len, bpe.texts)])
    # Sorted by first byte, and of those the longest first, which is the one that text is found to begin with.
    added = sorted(bpe.added, key=lambda a: (a.content[0], -len(a.content), a.id))
    strings = [a.content for a in added] + [text.encode() for text in chat or ()]
    extra, at = [], len(blob)
    for text in strings:
        extra.append((at, len(text)))
        at += len(text)
    pairs = sorted((left << 32 | right, made) for (left, right), made in bpe.merges.items())
    letters = [bpe.words.get(bytes([b]), NONE) for b in range(256)]
    arrays = [
        np.array([pair for pair, _ in pairs], dtype="<u8"),
        _rows((made for _, made in pairs), 2),
        _numbers(places.tolist()),
        _numbers([bpe.words[word] for word in sorted(bpe.words)]),
        _numbers(letters),
        _numbers([start << 4 | of for start, of in classes()]),
        _rows(((a.id, MARK * a.special + LATE * a.late, *extra[i]) for i, a in enumerate(added)), 4),
        _rows(bpe.splitters, 2),
        *map(_numbers, (bpe.before, bpe.after, stops)),
        _rows(extra[len(added) :], 2),
        *(_composition() if bpe.composed else [_numbers([]), _rows([], 3), _numbers([]), _rows([], 3)]),
        np.frombuffer(blob + b"".join(strings), dtype=np.uint8),
    ]
    body = b"".join(a.tobytes() for a in arrays)
    lengths = struct.pack(f"<{len(arrays)}I", *map(len, arrays))

    def head(total: int) -> bytes:
        return struct.pack("<8sIIQQ", MAGIC, VERSION, int(bpe.whole), HEADER + len(body), total) + lengths + bytes(4)

    return head(checksum(np.frombuffer(head(0) + body, dtype=np.uint8))) + body


def _composition() -> list[np.ndarray[Any, Any]]:
    """Marks, characters taken apart, their parts, and what composes."""
    of = composition()
    parts = list(of.apart.items())
    places = np.cumsum([0, *(len(found) for _, found in parts)])
    return [
        _numbers([start << 8 | order for start, order in of.marks]),
        _rows(((point, places[i], len(found)) for i, (point, found) in enumerate(parts)), 3),
        _numbers([one for _, found in parts for one in found]),
        _rows(sorted((*pair, made) for pair, made in of.together.items()), 3),
    ]


def _numbers(items: Iterable[int]) -> np.ndarray[Any, Any]:
    return np.array(list(items), dtype="<u4")


def _rows(items: Iterable[Sequence[int]], width: int) -> np.ndarray[Any, Any]:
    return np.array(list(items), dtype="<u4").reshape(-1, width)
