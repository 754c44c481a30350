"""A Hugging Face tokenizer as the C tokenizer reads it: byte-level BPE, and how text is split before it.

What is not known here is refused with a reason, never approximated. Which characters are letters, numbers and spaces is
asked of the tokenizers library itself, whose Unicode is not Python's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import PreTokenizer

Json = Mapping[str, Any]

# Splitters, and classes of characters: as in runtime/split.h.
DIGITS, WORDS, RUNS = 1, 2, 3
LETTER, NUMBER, SPACE, DIGIT = 1, 2, 4, 8

# GPT-2's pattern is built into ByteLevel; the other, of Llama 3 and Qwen, differs in how many numbers stand together.
_RUNS = re.compile(
    re.escape(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}")
    + r"(?P<most>|\+|\{1,[0-9]\})"
    + re.escape(r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
)


class Unsupported(Exception):
    """A tokenizer that has no form in C; the message says why."""


@dataclass(frozen=True)
class Added:
    """A token found in text before it is split. `late`: after what is not `late` was found, in composed text."""

    id: int
    content: bytes
    special: bool
    late: bool


@dataclass(frozen=True)
class Bpe:
    """What a tokenizer is made of; ids are the vocabulary's."""

    texts: tuple[bytes, ...]
    """What each id stands for; empty for ids that are none."""
    words: Mapping[bytes, int]
    merges: Mapping[tuple[int, int], tuple[int, int]]
    """Pairs of ids to rank and id of what they become."""
    whole: bool
    """Whether a piece that is a word is not merged together but taken."""
    composed: bool
    """Whether text is put into Unicode's composed form first."""
    added: tuple[Added, ...]
    splitters: tuple[tuple[int, int], ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


def read_bpe(path: Path) -> Bpe:
    """The tokenizer of a tokenizer.json. Raises Unsupported."""
    described = json.loads(path.read_text(encoding="utf-8"))
    model = described["model"]
    _check(described, model)
    byte_of = {char: value for value, char in _alphabet().items()}

    def text(token: str) -> bytes:
        """As the ByteLevel decoder has it: what is not all in its alphabet stands for itself."""
        return bytes(map(byte_of.__getitem__, token)) if all(c in byte_of for c in token) else token.encode()

    vocabulary: dict[str, int] = model["vocab"]
    missing = [char for char in byte_of if char not in vocabulary]
    if missing and model.get("unk_token") is not None:  # without one, such a byte is left out
        raise Unsupported(f"its token {model['unk_token']} stands for {len(missing)} of the 256 bytes")
    composed = _composed(described.get("normalizer"))

    def content(token: Json) -> bytes:
        late = composed and token["normalized"]
        return (normalizers.NFC().normalize_str(token["content"]) if late else str(token["content"])).encode()

    added = [
        Added(t["id"], content(t), t["special"], t["normalized"]) for t in described["added_tokens"] if t["content"]
    ]
    texts = [b""] * (1 + max([*vocabulary.values(), *(t.id for t in added)]))
    for token, number in vocabulary.items():
        texts[number] = text(token)
    for one in added:
        texts[one.id] = one.content
    tokenizer = Tokenizer.from_file(str(path))
    plain, framed = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    at = next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain)
    return Bpe(
        texts=tuple(texts),
        words={text(token): n for token, n in vocabulary.items() if all(c in byte_of for c in token)},
        merges=dict(_merges(model["merges"], vocabulary)),
        whole=bool(model.get("ignore_merges")),
        composed=composed,
        added=tuple(added),
        splitters=tuple(_splitters(described["pre_tokenizer"])),
        before=tuple(framed[:at]),
        after=tuple(framed[at + len(plain) :]),
    )


def _check(described: Json, model: Json) -> None:
    """Raises Unsupported for what changes ids or text and is not here."""
    if model.get("type") != "BPE" or (described.get("decoder") or {}).get("type") != "ByteLevel":
        raise Unsupported(f"it is no byte-level BPE but {model.get('type', 'of no type')}")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(option):
            raise Unsupported(f"its BPE has {option}")
    for token in described["added_tokens"]:
        for option in ("single_word", "lstrip", "rstrip"):
            if token[option]:
                raise Unsupported(f"its token {token['content']} has {option}")


def _composed(described: Json | None) -> bool:
    """Whether a normalizer is NFC, and not none. Raises Unsupported if it is another."""
    parts = described.get("normalizers", [described]) if described else []
    for part in parts:
        if part["type"] != "NFC":
            raise Unsupported(f"its text is normalised ({part['type']})")
    return bool(parts)


def _splitters(described: Json | None) -> Iterator[tuple[int, int]]:
    """Splitters in order, each with its number. Raises Unsupported."""
    if not described:
        raise Unsupported("it has no pre-tokenizer")
    parts = described["pretokenizers"] if described["type"] == "Sequence" else [described]
    last = parts[-1] if parts else {}
    if last.get("type") != "ByteLevel":
        raise Unsupported("its pre-tokenizer does not end in ByteLevel")
    if last["add_prefix_space"]:
        raise Unsupported("its pre-tokenizer puts a space before text")
    for part in parts[:-1]:
        if part["type"] == "Digits":
            yield DIGITS, int(part["individual_digits"])
        elif part["type"] == "Split":
            yield RUNS, _run(part)
        else:
            raise Unsupported(f"its pre-tokenizer has {part['type']}")
    if last.get("use_regex", True):
        yield WORDS, 0


def _run(part: Json) -> int:
    """The most numbers that stand together (0: any) in a Split of the pattern above. Raises Unsupported."""
    pattern = part["pattern"].get("Regex", "")
    found = _RUNS.fullmatch(pattern)
    if found is None or (part["behavior"], part["invert"]) not in (("Isolated", False), ("Removed", True)):
        raise Unsupported(f"its pre-tokenizer splits by {pattern or part['pattern']}")
    most = found["most"]
    return 0 if most == "+" else int(most[3]) if most else 1


def _merges(merges: list[Any], vocabulary: Mapping[str, int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for rank, merge in enumerate(merges):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield (vocabulary[left], vocabulary[right]), (rank, vocabulary[left + right])


def _alphabet() -> dict[int, str]:
    """The character that stands for each byte: printable ones for themselves, the others from 256 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


@cache
def classes() -> tuple[tuple[int, int], ...]:
    """First code points of runs of one class, and the class (a sum of the above), from 0 to the end of Unicode."""
    asked: list[tuple[int, PreTokenizer]] = [
        (LETTER, pre_tokenizers.Split(Regex(r"\P{L}+"), "removed")),
        (NUMBER, pre_tokenizers.Split(Regex(r"\P{N}+"), "removed")),
        (SPACE, pre_tokenizers.Split(Regex(r"\S+"), "removed")),
    ]
    changes: dict[int, int] = {0: 0, 0x110000: 0}
    for plane in (0, 1, 2, 3, 14):  # no other has characters
        points = [p for p in range(plane << 16, (plane + 1) << 16) if not 0xD800 <= p < 0xE000]
        text = "".join(map(chr, points))
        found = [(of, a, b) for of, split in asked for _, (a, b) in split.pre_tokenize_str(text)]
        digits = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(text)
        # Each digit stands by itself there, and so may a character between two of them: the letter beside decides.
        found += [(DIGIT, a, b) for piece, (a, b) in digits if len(piece) == 1 and _is_digit(piece)]
        for of, a, b in found:
            changes[points[a]] = changes.get(points[a], 0) ^ of
            after = points[b - 1] + 1
            changes[after] = changes.get(after, 0) ^ of
    runs: list[tuple[int, int]] = []
    now = 0
    for point in sorted(changes):
        now ^= changes[point]
        if not runs or runs[-1][1] != now:
            runs.append((point, now))
    return tuple(runs)


def _is_digit(char: str) -> bool:
    return len(pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(f"a{char}")) == 2
