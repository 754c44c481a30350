"""The text form: what is printed reads back, what is malformed is refused with its line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.ir import (
    CODES,
    CSD,
    FORMAT,
    OPS,
    IRError,
    Loc,
    Segment,
    Ternary,
    parse_program,
    parse_type,
    parse_weight_type,
    print_program,
    verify,
)
from sdllm.ir.ops.table import Attr, OpDef
from sdllm.ir.parser import parse_attr
from sdllm.ir.printer import print_attr

from .samples import LAWS, SAMPLES, World, example, f32, worlds

META = st.dictionaries(
    st.from_regex(r"[a-z_.]{1,8}", fullmatch=True),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


@given(worlds(), META)
@settings(max_examples=150, **LAWS)
def test_programs_read_back(world: World, meta: dict) -> None:
    program = verify(world.finish(meta))
    text = print_program(program)
    assert parse_program(text) == program
    assert print_program(parse_program(text)) == text


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_op_reads_back(name: str) -> None:
    program = verify(example(name).finish())
    assert verify(parse_program(print_program(program))) == program


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=3))
@settings(max_examples=300, **LAWS)
def test_any_location_reads_back(module: str, sources: list[str]) -> None:
    world = World()
    world.op("nn.scale", world.value(f32("B", "S", 6)), by=2.0, loc=Loc(module, tuple(sources)))
    program = world.finish()
    assert parse_program(print_program(program)) == program


@given(
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["inf", "Infinity", "nan", "true", "1e5", "P+S", "_1", ""])
    | st.sampled_from([CSD(12), Ternary(7), Segment(0, 4, CSD(3))])
    | st.lists(st.integers(1, 9) | st.sampled_from(["B", "P+S"]), max_size=4).map(tuple)
)
@settings(max_examples=300, **LAWS)
def test_any_attribute_reads_back(value: object) -> None:
    read = parse_attr(print_attr(value))
    assert read == value
    assert type(read) is type(value)


TYPES = (
    "f32[B,S,576]",
    "i64[B,P+S]",
    "bool[3]",
    "spikes<csd{T=12}>[B,S,576]",
    "spikes<0:518 gif{L=16, T=1}, 518:576 gif{L=16, T=2, signed=true}>[B,S,576]",
    "ints<8>[B,9,S,64]",
    "uints<15>[B,9,S,P+S]",
    "membrane<i32, planes=18>[B,S,576]",
    "membrane<f32, planes=2, starts=0:518>[B,S,576]",
    "train<T=4>[B,S,64]",
    "current<T=4, frac=12>[B,S,64]",
)
WEIGHT_TYPES = (
    "f32[576]",
    "f32[4,4]",
    "q4{group=64}[576,576]",
    "q3{group=32, min}[5,77]",
    "q3{group=2, min, 0:2 gif{L=4, T=2}, 2:5 gif{L=4, T=1}}[3,5]",
    "q2{group=4, 0:4 gif{L=2, T=1, signed=true}}[3,4]",
    "fixed{frac=12}[64,64]",
)


@pytest.mark.parametrize("text", TYPES)
def test_types_read_back(text: str) -> None:
    assert str(parse_type(text)) == text


@pytest.mark.parametrize("text", WEIGHT_TYPES)
def test_weight_types_read_back(text: str) -> None:
    assert str(parse_weight_type(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f32",
        "f64[2]",
        "f32[]",
        "f32[2,,3]",
        "f32[0]",
        "f32[-1]",
        "f32[²]",
        "f32[Q]",
        "f32[2.0]",
        "f32<csd{T=2}>[2]",
        "f32[2] f32[2]",
        "spikes[4]",
        "spikes<>[4]",
        "spikes<csd>[4]",
        "spikes<morse{T=2}>[4]",
        "spikes<csd{T=2}>[4,S]",
        "spikes<0:2 csd{T=2}>[4]",
        "spikes<0:2 csd{T=2}, 3:4 csd{T=2}>[4]",
        "spikes<0:2 csd{T=2}, 2:2 csd{T=2}, 2:4 csd{T=2}>[4]",
        "spikes<0:2 csd{T=2}, what>[4]",
        "ints<x>[4]",
        "ints[4]",
        "membrane<i32>[4]",
        "membrane<i64, planes=1>[4]",
        "membrane<i32, planes=1, more=2>[4]",
        "train<4>[4]",
        "current<T=4>[4]",
        "thing<T=4>[4]",
    ],
)
def test_malformed_types_are_refused(text: str) -> None:
    with pytest.raises(IRError):
        parse_type(text)


@pytest.mark.parametrize(
    "text",
    [
        "f32",
        "f32[]",
        "f32[B]",
        "q4[2,2]",
        "q4{group=2}[4]",
        "q9{group=2}[2,2]",
        "q8{group=2, min}[2,2]",
        "q4{group=2, 0:1 gif{L=4, T=1}}[2,2]",
        "q2{group=2, min, 0:2 gif{L=4, T=2}}[2,2]",
        "q2{group=2, 0:2 nothing{T=1}}[2,2]",
        "r4{group=2, 0:2 gif{L=4, T=1}}[2,2]",
    ],
)
def test_malformed_weight_types_are_refused(text: str) -> None:
    with pytest.raises(IRError):
        parse_weight_type(text)


WRITTEN = """\
spike-ir 1
ops nn.attend=1 nn.reshape=1 spike.encode=1 spike.linear=1 spike.read_out=1 state.append=1
meta family = "smol 😀"
meta tokens = {"eos": [1, 2]}
input %ids : i64[B,S]
input %x : f32[B,S,6]
state @kv.0 : f32[B,S,6]
weight @q.weight : q4{group=4}[5,6] sha256:00ff

// a comment
%0, %1 = spike.encode %x {code = [0:4 gif{L=16, T=1, signed=true}, 4:6 csd{T=3}], factor = 3e-1, clip = soft, \
quantile = 0.25} : spikes<0:4 gif{L=16, T=1, signed=true}, 4:6 csd{T=3}>[B,S,6], f32[B,S,2] loc("a.b", "f.py:1")
%2 = spike.linear %0 @q.weight : membrane<i32, planes=2, starts=0:4>[B,S,5] loc("q")
%y = spike.read_out %2, %1 @q.weight : f32[B,S,5]
%z = nn.reshape %x {shape = [B, S, 2, 3]} : f32[B,S,2,3]
output y = %y
output z = %z
end
"""


def test_a_written_program() -> None:
    program = parse_program(WRITTEN)
    encode, linear, read_out, reshape = program.ops
    assert encode.attrs["code"] == (Segment(0, 4, CODES["gif"](16, 1, True)), Segment(4, 6, CSD(3)))
    assert (encode.attrs["factor"], encode.attrs["clip"], encode.attrs["quantile"]) == (0.3, "soft", 0.25)
    assert (encode.attrs["levels"], encode.attrs["grid"]) == (0, "symmetric")
    assert encode.loc == Loc("a.b", ("f.py:1",))
    assert read_out.operands == (linear.result, encode.results[1])
    assert reshape.attrs["shape"] == ("B", "S", 2, 3)
    assert program.meta == {"family": "smol 😀", "tokens": {"eos": [1, 2]}}
    verify(program)
    assert parse_program(print_program(program)) == program


def broken(old: str, new: str) -> tuple[str, int]:
    """The written text with one thing changed, and the line where that is."""
    assert WRITTEN.count(old) >= 1, old
    text = WRITTEN.replace(old, new, 1)
    return text, WRITTEN[: WRITTEN.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("spike-ir 1", "onnx 1", "not a spike program"),
        ("spike-ir 1", "spike-ir 7", "format 7; this sdllm reads 1"),
        ("spike.encode=1", "spike.encode=2", "version 2 here; this sdllm reads 1"),
        ("spike.encode=1", "spike.encode", "ops name=version"),
        ("spike.encode=1", "spike.decode=1", "no op 'spike.decode'.*spike.encode"),
        ('"eos"', "eos", "Expecting property name"),
        ("meta tokens", "meta family", "meta family is declared twice"),
        ("input %x :", "input x :", "input %name : type"),
        ("input %x", "input %ids", "%ids is defined twice"),
        ("input %x : f32[B,S,6]", "input %x : f32[B,S,6", "no type"),
        ("state @kv.0 :", "state kv.0 :", "state @name : type"),
        ("sha256:00ff", "sha1:00ff", "sha256:hash"),
        ("q4{group=4}[5,6]", "q4{group=4}[5]", "a grid weight is a matrix"),
        ("input %x", "inputs %x", "no op, input, state"),
        ("%z = nn.reshape", "z = nn.reshape", "no op, input, state"),
        ("nn.reshape %x", "nn.reshap %x", "no op 'nn.reshap' .nearest: nn.reshape"),
        ("nn.reshape %x", "nn.reshape %w", "%w is used before it is defined"),
        ("nn.reshape %x", "nn.reshape %z", "%z is used before it is defined"),
        ("%y = spike", "%2 = spike", "%2 is defined twice"),
        ("%2, %1 @q", "%2 %1 @q", "no op, input, state"),
        ("%0 @q.weight", "%0 @k.weight", "weight @k.weight is not declared"),
        ("nn.reshape %x", "nn.reshape %x state @kv", "state @kv is not declared"),
        ("shape = [B, S, 2, 3]", "shape = [B, S, 2, 3", "cannot read the attributes"),
        ("shape = [B, S, 2, 3]", "", "attribute 'shape' is missing"),
        ("shape = [B, S, 2, 3]", "shape = 4", "attribute 'shape' = 4 must be tuple"),
        ("shape = ", "size = 4, shape = ", "no attribute 'size'"),
        ("clip = soft", "clip = softly", "must be one of none, soft, hard"),
        ("clip = soft", "clip = soft, clip = soft", "given twice"),
        ("clip = soft", "clip soft", "cannot read the attributes"),
        ("factor = 3e-1", "factor = lots", "must be float"),
        ("code = [0:4 gif", "code = [0:4 gaf", "no spike code"),
        (", f32[B,S,2] loc", " loc", "2 results but 1 types"),
        (", f32[B,S,2] loc", " f32[B,S,2] loc", "cannot read the types"),
        (": f32[B,S,5]", ": f32[B,S,5", "cannot read the types"),
        (": f32[B,S,5]", "", "no op, input, state"),
        ('loc("q")', 'loc("q"', "cannot read the types"),
        ('loc("q")', "loc(q)", "Expecting value"),
        ('loc("q")', "loc(1)", "is not loc"),
        ("output y = %y", "output y = %q", "%q is used before"),
        ("output y = %y", "output y : %y", "output name = %value"),
        ("output z", "output y", "output y is declared twice"),
    ],
)
def test_malformed_texts_are_refused_with_their_line(old: str, new: str, says: str) -> None:
    text, line = broken(old, new)
    with pytest.raises(IRError, match=rf"^m\.spike:{line}: .*{says}"):
        parse_program(text, "m.spike")


def test_an_op_without_a_version_is_refused() -> None:
    with pytest.raises(IRError, match=r"^<text>:11: op spike.encode has no version"):
        parse_program(WRITTEN.replace("spike.encode=1 ", ""))


def test_nothing_follows_the_end() -> None:
    assert parse_program(WRITTEN + "\n// a comment\n")
    with pytest.raises(IRError, match=r"^<text>:18: there is more after 'end'"):
        parse_program(WRITTEN + "output w = %z\n")


def test_a_program_without_output_is_refused() -> None:
    text = "\n".join(line for line in WRITTEN.splitlines() if not line.startswith("output"))
    with pytest.raises(IRError, match=r"^<text>:\d+: the program has no output"):
        parse_program(text)


def test_truncated_texts_are_refused() -> None:
    """Wherever the file was cut."""
    for size in range(len(WRITTEN) - 1):
        with pytest.raises(IRError, match=r"^cut:\d+: "):
            parse_program(WRITTEN[:size], "cut")


def test_a_text_without_a_line_of_versions_is_for_people() -> None:
    text = "\n".join(line for line in WRITTEN.splitlines() if not line.startswith("ops "))
    assert parse_program(text) == parse_program(WRITTEN)


def test_versions_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    old = OPS["nn.reshape"]
    newer = OpDef(**{k: getattr(old, k) for k in OpDef.__slots__} | {"version": 2})
    monkeypatch.setitem(OPS, "nn.reshape", newer)
    with pytest.raises(IRError, match="version 1 here; this sdllm reads 2"):
        parse_program(WRITTEN)
    assert "nn.reshape=2" in print_program(verify(parse_program(WRITTEN.replace("nn.reshape=1", "nn.reshape=2"))))
    assert print_program(example("nn.add").finish()).startswith(f"spike-ir {FORMAT}\n")


def test_attributes_at_their_default_are_left_out() -> None:
    program = example("nn.rope").finish()
    assert "{" not in next(line for line in print_program(program).splitlines() if "nn.rope " in line)
    changed = replace(program.ops[-1], attrs={**program.ops[-1].attrs, "layout": "interleaved"})
    text = print_program(program.with_ops([*program.ops[:-1], changed]))
    assert "{layout = interleaved}" in text


def test_default_attributes_round_trip_their_own_text() -> None:
    for definition in OPS.values():
        for spec in definition.attrs.values():
            assert isinstance(spec, Attr)
            if not spec.required:
                assert parse_attr(print_attr(spec.default)) == spec.default
