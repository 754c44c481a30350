"""The tokenizer in C: the same ids as the tokenizers library, on text of every kind; damaged files refused."""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sdllm.backends.c.backend import RUNTIME
from sdllm.backends.c.bpe import classes
from sdllm.backends.c.build import FLAGS, compiler
from sdllm.backends.c.tokenizerfile import NAME, write_tokenizer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from .test_weights import CHECKED, FUZZ

SOURCES = [str(RUNTIME / f"{name}.c") for name in ("tokenizer", "nfc", "split", "bpe", "weights")]
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LEARNT = (
    "It's 1234 o'clock, we'll say; THEY'RE 56 or 789?! \n\n  x = [1, 2];\r\n\tif (x != 0) { return; }\n"
    "Ünïcödé größer, 漢字かな交じり文, привет мир, ½ ² ٣, 😀😀 — “quoted”…\n"
) * 20
PIECES = [
    *" \n\r\t'sStdDMmlLrReEvVabc0129.,!?-(é²½٣ſß漢か😀\x00\x1c\x85\u00a0\u2028\u3000\u0301\u200d",
    "'ll", "'RE", "'ſ", "\r\n", "   ", "<s>", "</s>", "<s", "<tool>", "<tool> call",
]  # fmt: skip


def split(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def digits(individual: bool) -> Any:
    parts = [pre_tokenizers.Digits(individual_digits=individual), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    return pre_tokenizers.Sequence(parts)


MARKED = (
    "\u1100\u1161\u11a8 각 가\u11a8 e\u0301\u0323 \u0344\u0958\u2126 "
    "A\u030a\u0327\u0334 \u0f73 ﬁ \U0001d15f né ne\u0301"
)
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "gpt2": (pre_tokenizers.ByteLevel(add_prefix_space=False), {}),
    "smollm": (digits(True), {}),
    "digits together": (digits(False), {}),
    "llama3": (split(LLAMA), {"ignore_merges": True}),
    "qwen2": (split(LLAMA.replace("{1,3}", "")), {}),
    "qwen2 composed": (split(LLAMA.replace("{1,3}", "")), {"nfc": True}),
    "any numbers": (split(LLAMA.replace("{1,3}", "+")), {}),
}


def trained(pre_tokenizer: Any, **options: Any) -> Tokenizer:
    """A byte-level BPE of few merges, with tokens that stand inside each other."""
    nfc = options.pop("nfc", False)
    made = Tokenizer(models.BPE(**options))
    if nfc:
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer, made.decoder = pre_tokenizer, decoders.ByteLevel()
    special = ["<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [LEARNT], trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=alphabet)
    )
    made.add_tokens(
        [AddedToken("<tool>", normalized=False), AddedToken("<tool> call"), AddedToken("né", normalized=True)]
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return made


class Encoder:
    """The C tokenizer of a folder."""

    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        self.c, self.message = library, ctypes.create_string_buffer(256)
        self.handle = library.sdllm_tokenizer_open(os.fsencode(path), self.message, 256)

    def ids(self, text: str | bytes, frame: int = 0) -> list[int]:
        count = ctypes.c_ssize_t()
        data = text if isinstance(text, bytes) else text.encode()
        made = self.c.sdllm_encode(self.handle, frame, data, len(data), count)
        assert made
        ids = ctypes.cast(made, ctypes.POINTER(ctypes.c_int64))[: count.value]
        self.c.free(made)
        return list(ids)

    def text(self, ids: list[int]) -> bytes:
        size = ctypes.c_size_t()
        return b"".join(ctypes.string_at(self.c.sdllm_token(self.handle, i, size), size.value) for i in ids)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("lib") / "lib.so"
    subprocess.run([*compiler(), *FLAGS, "-O2", "-Werror", "-shared", *SOURCES, "-o", str(path)], check=True)
    made = ctypes.CDLL(str(path))
    P, S = ctypes.c_void_p, ctypes.c_size_t
    made.sdllm_tokenizer_open.restype = made.sdllm_encode.restype = made.sdllm_token.restype = P
    made.sdllm_tokenizer_open.argtypes = (ctypes.c_char_p, P, S)
    made.sdllm_encode.argtypes = (P, ctypes.c_int, ctypes.c_char_p, S, ctypes.POINTER(ctypes.c_ssize_t))
    made.sdllm_token.argtypes = (P, ctypes.c_int64, ctypes.POINTER(S))
    made.sdllm_special.argtypes = made.sdllm_stops.argtypes = (P, ctypes.c_int64)
    made.sdllm_whole.argtypes, made.sdllm_whole.restype = (ctypes.c_char_p, S), S
    made.free.argtypes = (P,)
    return made


def written(tokenizer: Tokenizer, folder: Path, **facts: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "text.json").write_text(json.dumps(facts))
    return write_tokenizer(folder, folder)


@pytest.fixture(scope="module", params=KINDS)
def pair(
    request: pytest.FixtureRequest, library: ctypes.CDLL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Tokenizer, Encoder]]:
    pre_tokenizer, options = KINDS[request.param]
    tokenizer, folder = trained(pre_tokenizer, **options), tmp_path_factory.mktemp("tokenizer")
    assert written(tokenizer, folder, stop=[1], chat=["<s>", "</s>"]) == {"text": True}
    made = Encoder(library, folder / NAME)
    assert made.handle, made.message.value
    yield tokenizer, made
    library.sdllm_tokenizer_close(ctypes.c_void_p(made.handle))


def same(pair: tuple[Tokenizer, Encoder], text: str) -> None:
    tokenizer, ours = pair
    ids = ours.ids(text)
    assert ids == tokenizer.encode(text, add_special_tokens=False).ids
    if tokenizer.normalizer:  # which takes text between the tokens that are found first
        parts = re.split("(<s>|</s>|<tool>)", text)
        text = "".join(part if i % 2 else tokenizer.normalizer.normalize_str(part) for i, part in enumerate(parts))
    assert ours.text(ids).decode() == text


@given(text=st.text() | st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
@example(text="'ſ 'LL x'll")
@example(text=MARKED)
@settings(max_examples=300, deadline=None)
def test_any_text(pair: tuple[Tokenizer, Encoder], text: str) -> None:
    same(pair, text)


def every_place(characters: Iterable[int]) -> str:
    """Each character after and before letters, numbers, spaces and apostrophes."""
    return "".join(f"a{c}b 1{c}2{c}'{c} {c}  {c}\n" for c in map(chr, characters))


def test_characters_where_classes_begin_and_end(pair: tuple[Tokenizer, Encoder]) -> None:
    edges = {start + step for start, _ in classes() for step in (-1, 0)}
    same(pair, every_place(sorted(c for c in edges if 0 <= c < 0x110000 and not 0xD800 <= c < 0xE000)))


@pytest.mark.slow
def test_every_character_in_every_place(pair: tuple[Tokenizer, Encoder]) -> None:
    for start in range(0, 0x110000, 0x8000):
        same(pair, every_place(c for c in range(start, start + 0x8000) if not 0xD800 <= c < 0xE000))


def test_contractions_of_every_character(pair: tuple[Tokenizer, Encoder]) -> None:
    same(pair, "".join(f"'{c}e 'r{c} 'l{c} 'v{c} " for c in map(chr, range(0x400))))


def test_long_pieces(pair: tuple[Tokenizer, Encoder]) -> None:
    draw = random.Random(0)
    same(pair, "".join(draw.choices("abcdeIt", k=50_000)))
    same(pair, "=" * 20_000 + " " * 20_000)


@given(text=st.text(alphabet=st.sampled_from(sorted({*MARKED, *map(chr, range(0x300, 0x350))})), max_size=12))
@settings(max_examples=300, deadline=None)
def test_marks_in_any_order(pair: tuple[Tokenizer, Encoder], text: str) -> None:
    same(pair, text)


@given(data=st.binary())
@example(data=b"\xc0\x80\xcc e\xcc\x81\xff")
@settings(deadline=None)
def test_bytes_that_are_no_text_come_back(pair: tuple[Tokenizer, Encoder], data: bytes) -> None:
    tokenizer, ours = pair
    text = data.decode(errors="surrogateescape")
    if tokenizer.normalizer:
        parts = re.split("([\udc80-\udcff]+)", text)
        text = "".join(part if i % 2 else tokenizer.normalizer.normalize_str(part) for i, part in enumerate(parts))
    assert ours.text(ours.ids(data)) == text.encode(errors="surrogateescape")


def test_frames_and_stops(pair: tuple[Tokenizer, Encoder]) -> None:
    tokenizer, ours = pair
    assert ours.ids("It's", 1) == tokenizer.encode("It's").ids
    assert ours.ids("It's", 2) == tokenizer.encode("<s>It's</s>", add_special_tokens=False).ids
    assert [ours.c.sdllm_stops(ours.handle, i) for i in range(3)] == [0, 1, 0]
    specials = [i for i in range(tokenizer.get_vocab_size()) if ours.c.sdllm_special(ours.handle, i)]
    assert specials == [0, 1]
    assert ours.text([-1, tokenizer.get_vocab_size(), 1 << 40]) == b""


@given(text=st.text(), data=st.data())
def test_whole_characters(library: ctypes.CDLL, text: str, data: st.DataObject) -> None:
    raw = text.encode()
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    whole = library.sdllm_whole(raw, len(raw))
    assert raw[:whole].decode() == raw.decode(errors="ignore")


DATA = Path(os.environ.get("SDLLM_DATA", "no data"))


@pytest.mark.parametrize("size", [50_000, pytest.param(None, marks=pytest.mark.slow, id="whole")])
@pytest.mark.parametrize("text", ["wikitext2/test.hf_joined.txt", "text/tinyshakespeare.txt"])
def test_real_text(pair: tuple[Tokenizer, Encoder], text: str, size: int | None) -> None:
    if not (DATA / text).exists():
        pytest.skip("needs $SDLLM_DATA")
    same(pair, (DATA / text).read_text(encoding="utf-8")[:size])


def changed(change: Any) -> Tokenizer:
    made = trained(pre_tokenizers.ByteLevel(add_prefix_space=False))
    change(made)
    return made


def _set(name: str, value: Any) -> Any:
    return lambda tokenizer: setattr(tokenizer, name, value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_set("normalizer", normalizers.Lowercase()), "its text is normalised (Lowercase)"),
        (_set("pre_tokenizer", pre_tokenizers.ByteLevel()), "its pre-tokenizer puts a space before text"),
        (_set("pre_tokenizer", pre_tokenizers.Whitespace()), "its pre-tokenizer does not end in ByteLevel"),
        (_set("pre_tokenizer", split(r"\w+")), r"its pre-tokenizer splits by \w+"),
        (_set("decoder", decoders.Metaspace()), "it is no byte-level BPE but BPE"),
        (lambda t: t.add_tokens([AddedToken("mask", lstrip=True)]), "its token mask has lstrip"),
        (_set("model", models.WordLevel({"a": 0}, "a")), "it is no byte-level BPE but WordLevel"),
    ],
)
def test_what_is_not_known_is_refused(change: Any, why: str, tmp_path: Path) -> None:
    assert written(changed(change), tmp_path) == {"text": False, "why": why}
    assert not (tmp_path / NAME).exists()


def test_no_tokenizer_at_all(tmp_path: Path) -> None:
    assert write_tokenizer(tmp_path, tmp_path) == {"text": False, "why": "the model has no tokenizer.json"}


# ---- damage ----


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda b: b"", b"is no tokenizer file of sdllm"),
        (lambda b: b"SDLLM-C\n" + b[8:], b"is no tokenizer file of sdllm"),
        (lambda b: b[:8] + b"\x02" + b[9:], b"is of another version"),
        (lambda b: b[:-1], b"is cut short"),
        (lambda b: b + b"\x00", b"is cut short, or longer than it says"),
        (lambda b: b[:-9] + bytes([b[-9] ^ 1]) + b[-8:], b"is damaged: its checksum differs"),
    ],
)
def test_damage_is_refused_with_a_reason(change: Any, reason: bytes, library: ctypes.CDLL, tmp_path: Path) -> None:
    written(trained(KINDS["gpt2"][0]), tmp_path)
    path = tmp_path / NAME
    path.write_bytes(change(path.read_bytes()))
    made = Encoder(library, path)
    assert not made.handle
    assert reason in made.message.value


def fuzz(out: Path, times: int, *flags: str) -> None:
    """Damaged files are refused; damaged ones whose checksum was put right may be taken, and harm nothing."""
    written(trained(KINDS["llama3"][0], ignore_merges=True), out, stop=[1], chat=["a", "b"])
    command = [*compiler(), *FLAGS, "-O1", *flags, "-DTOKENIZER", f"-I{RUNTIME}", str(FUZZ), *SOURCES]
    subprocess.run([*command, "-o", str(out / "fuzz")], check=True)
    done = subprocess.run(
        [str(out / "fuzz"), str(out / NAME), str(out / "copy.bin"), str(times), "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_some_damaged_files(tmp_path: Path) -> None:
    fuzz(tmp_path, 300)


@pytest.mark.slow
def test_many_damaged_files_under_sanitizers(tmp_path: Path) -> None:
    fuzz(tmp_path, 10_000, *CHECKED)
