"""Programs that break a rule do not verify, and the message says which op, where it comes from and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdllm.ir import (
    CSD,
    OPS,
    Binary,
    Current,
    FixedWeight,
    FloatWeight,
    GridWeight,
    Ints,
    IRError,
    Loc,
    Membrane,
    Op,
    Program,
    Segment,
    Spikes,
    State,
    Tensor,
    Ternary,
    Train,
    Type,
    Value,
    Weight,
    parse_type,
    verify,
)
from sdllm.ir.ops import complete_attrs, lookup

from .samples import LAWS, World, example, f32, worlds

LOC = Loc("model.layers.3.self_attn", ("modeling_llama.py:42",))


def broken(
    name: str,
    *operands: str,
    result: str = "f32[1]",
    weights: tuple[Any, ...] = (),
    state: str | None = None,
    fill: bool = True,
    **attrs: Any,
) -> Program:
    """A program of one op, taken as it is: types, weights and attributes are not checked here."""
    inputs = tuple(Value(f"x{i}", parse_type(t)) for i, t in enumerate(operands))
    declared = {f"w{i}": Weight(f"w{i}", of, "00") for i, of in enumerate(weights)}
    states = {} if state is None else {"s": State("s", parse_type(state))}
    full = complete_attrs(lookup(name), attrs) if fill else attrs
    op = Op(name, inputs, (Value("y", parse_type(result)),), full, tuple(declared), next(iter(states), None), LOC)
    return Program(inputs, (op,), {"y": op.result}, declared, states)


GRID = GridWeight(4, 4, False, (5, 6))
MINIMUM = GridWeight(4, 4, True, (5, 6))
FLOAT = FloatWeight((5, 6))
N, M, V = "spikes<csd{T=5}>[B,S,6]", "membrane<i32, planes=2>[B,S,5]", "f32[B,S,1]"
TWO = "membrane<i32, planes=2, starts=0:4>[B,S,5]"
A, K = "ints<8>[B,4,S,8]", "spikes<csd{T=5}>[B,2,P+S,8]"
AV = "membrane<i32, planes=1>[B,4,S,8]"
Q, C, KT = "train<T=2>[B,4,S,8]", "f32[B,4,S,8]", "train<T=2>[B,2,P+S,8]"
MASK = "i64[B,P+S]"

CASES: dict[str, tuple[Callable[[], Program], str]] = {
    "no such op": (lambda: broken("nn.norm", fill=False), "there is no op 'nn.norm' .nearest"),
    "too few operands": (lambda: broken("nn.add", "f32[2]"), "takes 2 operands, not 1"),
    "too many operands": (lambda: broken("nn.scale", "f32[2]", "f32[2]", by=1.0), "takes 1 operands, not 2"),
    "no weight": (lambda: broken("nn.linear", "f32[6]"), "takes 1 to 2 weights, not 0"),
    "no state": (lambda: broken("state.append", "f32[B,S,6]", axis=1), "needs a state"),
    "a state it has no use for": (lambda: broken("nn.scale", "f32[B,S]", state="f32[B,P]", by=1.0), "takes no state"),
    "unknown attribute": (lambda: broken("nn.scale", "f32[2]", by=1.0, of=2, fill=False), "no attribute 'of'"),
    "missing attribute": (lambda: broken("nn.scale", "f32[2]", fill=False), "'by' is missing"),
    "attribute left out": (lambda: broken("nn.embed", "i64[2]", weights=(FLOAT,), fill=False), "not filled in"),
    "attribute of another type": (lambda: broken("nn.scale", "f32[2]", by="x", fill=False), "must be float"),
    "a truth for a number": (lambda: broken("nn.softcap", "f32[2]", cap=True, fill=False), "must be float"),
    "a truth for an integer": (
        lambda: broken("nn.embed", "i64[2]", weights=(FLOAT,), offset=True, fill=False),
        "must be int",
    ),
    "no such word": (lambda: broken("nn.activation", "f32[2]", kind="swish", fill=False), "must be one of silu"),
    "another result": (
        lambda: broken("nn.scale", "f32[2]", by=1.0, result="f32[3]"),
        r"its type is f32\[2\], not f32\[3\]",
    ),
    "ids that are floats": (lambda: broken("nn.embed", "f32[2]", weights=(FLOAT,)), "must be a i64 tensor"),
    "a float op on spikes": (lambda: broken("nn.scale", N, by=1.0), "operand 0 must be a f32 tensor, not spikes"),
    "a matrix too narrow": (lambda: broken("nn.linear", "f32[7]", weights=(FLOAT,)), "does not fit the weight"),
    "a fixed-point matrix": (lambda: broken("nn.linear", "f32[6]", weights=(FixedWeight(8, (5, 6)),)), "is no matrix"),
    "a bias of another size": (
        lambda: broken("nn.linear", "f32[6]", weights=(FLOAT, FloatWeight((6,)))),
        r"the bias must be f32\[5\]",
    ),
    "a gain in fixed point": (
        lambda: broken("nn.rms_norm", "f32[6]", weights=(FixedWeight(8, (6,)),), eps=1e-5),
        r"the gain must be f32\[6\]",
    ),
    "no broadcasting": (lambda: broken("nn.add", "f32[B,6]", "f32[S,6]"), "do not broadcast"),
    "reshape across a symbol": (lambda: broken("nn.reshape", "f32[B,S,6]", shape=("B", 6, "S")), "cannot be reshaped"),
    "reshape to less": (lambda: broken("nn.reshape", "f32[B,6]", shape=("B", 2)), "cannot be reshaped"),
    "reshape to negative sizes": (lambda: broken("nn.reshape", "f32[6]", shape=(-2, -3)), "cannot be reshaped"),
    "no permutation": (lambda: broken("nn.permute", "f32[2,3]", axes=(0, 0)), "no permutation"),
    "axes that are words": (lambda: broken("nn.permute", "f32[2,3]", axes=(0, "B")), "no permutation"),
    "no channel of it": (lambda: broken("nn.set_apart", "f32[6]", channels=(6,)), "each once"),
    "a channel twice": (lambda: broken("nn.set_apart", "f32[6]", channels=(1, 1)), "each once"),
    "channels that are words": (lambda: broken("nn.set_apart", "f32[6]", channels=("B",)), "each once"),
    "no channels": (lambda: broken("nn.set_apart", "f32[6]", channels=()), "each once"),
    "slice outside": (lambda: broken("nn.slice", "f32[6]", axis=0, start=3, stop=7), "outside axis 0"),
    "slice of an unknown size": (lambda: broken("nn.slice", "f32[S]", axis=0, start=1, stop=2), "outside axis 0"),
    "axis outside": (lambda: broken("nn.slice", "f32[6]", axis=1, start=0, stop=1), "axis 1 is outside"),
    "concat of two dtypes": (lambda: broken("nn.concat", "f32[2]", "i64[2]", axis=0), "does not join"),
    "concat of two ranks": (lambda: broken("nn.concat", "f32[2,2]", "f32[2]", axis=1), "does not join"),
    "concat of other sizes": (lambda: broken("nn.concat", "f32[2,3]", "f32[3,4]", axis=1), "does not join"),
    "repeat of a symbol": (lambda: broken("nn.repeat", "f32[S]", axis=0, times=2), "cannot be repeated"),
    "hadamard of six": (lambda: broken("nn.rotate", "f32[6]", hadamard=6), "no power of two"),
    "a rotation of another width": (lambda: broken("nn.rotate", "f32[6]", hadamard=4), "no last axis"),
    "positions of others": (
        lambda: broken("nn.rope", C, "i64[B,P+S]", weights=(FloatWeight((4,)),)),
        "positions .* do not fit",
    ),
    "inv_freq of another size": (
        lambda: broken("nn.rope", C, "i64[B,S]", weights=(FloatWeight((8,)),)),
        "inv_freq .* does not fit",
    ),
    "heads that do not divide": (
        lambda: broken("nn.attend", C, "f32[B,3,P+S,8]", "f32[B,3,P+S,8]", MASK, scale=1.0),
        "do not fit together",
    ),
    "a mask of new tokens only": (
        lambda: broken("nn.attend", C, "f32[B,2,P+S,8]", "f32[B,2,P+S,8]", "i64[B,S]", scale=1.0),
        "mask .* does not fit",
    ),
    "state of another width": (
        lambda: broken("state.append", "f32[B,S,6]", state="f32[B,P,5]", axis=1),
        "the state is",
    ),
    "state of another kind": (
        lambda: broken("state.append", N, state="f32[B,P,6]", axis=1),
        "does not go into a state",
    ),
    "a membrane as state": (
        lambda: broken("state.append", M, state="membrane<i32, planes=2>[B,P,5]", axis=1),
        "does not go into a state",
    ),
    "append along another axis": (
        lambda: broken("state.append", "f32[B,S,6]", state="f32[B,P,6]", axis=2),
        "axis 2 .* is not S",
    ),
    "mean on an offset grid": (
        lambda: broken("spike.encode", "f32[B,S,6]", code=Binary(15), grid="offset", threshold="mean"),
        "a mean threshold needs the symmetric grid",
    ),
    "a threshold for the asymmetric grid": (
        lambda: broken("spike.encode", "f32[B,S,6]", code=Binary(15), grid="asymmetric", factor=0.5),
        "sets its own threshold",
    ),
    "unsigned code, symmetric grid": (
        lambda: broken("spike.encode", "f32[6]", code=Binary(15)),
        "does not suit the symmetric grid",
    ),
    "signed code, offset grid": (
        lambda: broken("spike.encode", "f32[6]", code=Ternary(7), grid="offset"),
        "does not suit the offset grid",
    ),
    "quantile of one": (lambda: broken("spike.encode", "f32[6]", code=CSD(5), quantile=1.0), "quantile must be"),
    "factor of nothing": (lambda: broken("spike.encode", "f32[6]", code=CSD(5), factor=0.0), "factor must be"),
    "levels for segments that are not there": (
        lambda: broken("spike.encode", "f32[6]", code=CSD(5), levels=(3, 3)),
        "one for each of the 1 segments",
    ),
    "levels that are words": (lambda: broken("spike.encode", "f32[6]", code=CSD(5), levels=("B",)), "levels must be"),
    "negative levels": (lambda: broken("spike.encode", "f32[6]", code=CSD(5), levels=-1), "levels must be"),
    "no segments": (lambda: broken("spike.encode", "f32[6]", code=()), "do not cover 0:6"),
    "segments that are numbers": (lambda: broken("spike.encode", "f32[6]", code=(1, 2)), "do not cover 0:6"),
    "segments with a gap": (
        lambda: broken("spike.encode", "f32[6]", code=(Segment(0, 2, CSD(5)), Segment(3, 6, CSD(5)))),
        "do not cover 0:6",
    ),
    "encode along a symbol": (lambda: broken("spike.encode", "f32[B,S]", code=CSD(5)), "no fixed width"),
    "integers of one bit": (lambda: broken("int.encode", "f32[6]", bits=1), "bits must be 2 to 16"),
    "a spiked linear of floats": (
        lambda: broken("spike.linear", "f32[B,S,6]", weights=(GRID,)),
        "operand 0 must be spikes",
    ),
    "a spiked linear in fixed point": (
        lambda: broken("spike.linear", N, weights=(FixedWeight(8, (5, 6)),)),
        "neither on a grid nor float",
    ),
    "a spiked linear too narrow": (
        lambda: broken("spike.linear", N, weights=(GridWeight(4, 4, False, (5, 7)),)),
        "does not fit the weight",
    ),
    "a membrane of too few planes": (
        lambda: broken("spike.linear", N, weights=(GRID,), result="membrane<i32, planes=1>[B,S,5]"),
        "its type is membrane<i32, planes=2>",
    ),
    "a membrane that forgets its segments": (
        lambda: broken("spike.linear", "spikes<0:4 csd{T=5}, 4:6 csd{T=3}>[B,S,6]", weights=(GRID,), result=M),
        "starts=0:4",
    ),
    "zero points of one segment": (
        lambda: broken("spike.center", TWO, "i32[B,S,1]", weights=(GRID,)),
        "zero points .* do not fit",
    ),
    "another layer's weight": (
        lambda: broken("spike.center", M, "i32[B,S,1]", weights=(GridWeight(4, 4, False, (6, 6)),)),
        "is not the weight of",
    ),
    "sums of another width": (
        lambda: broken("spike.sum", N, weights=(GridWeight(4, 4, False, (5, 7)),)),
        "does not fit the weight",
    ),
    "sums less float zero points": (
        lambda: broken("spike.sum", N, V, weights=(GRID,)),
        "operand 1 must be a i32 tensor",
    ),
    "sums less another's zero points": (
        lambda: broken("spike.sum", N, "i32[B,S,2]", weights=(GRID,)),
        "zero points .* do not fit",
    ),
    "scale along the channels": (
        lambda: broken("spike.read_out", M, "f32[B,S,5]", weights=(GRID,)),
        "not one number for each segment",
    ),
    "one scale for two segments": (
        lambda: broken("spike.read_out", TWO, V, weights=(GRID,)),
        "not one number for each segment",
    ),
    "scale of other tokens": (
        lambda: broken("spike.read_out", M, "f32[B,P+S,1]", weights=(GRID,)),
        "varies along another axis",
    ),
    "sums missing for minima": (lambda: broken("spike.read_out", M, V, weights=(MINIMUM,)), "sums of counts are for"),
    "sums without minima": (
        lambda: broken("spike.read_out", M, V, "i32[B,S,2]", weights=(GRID,)),
        "sums of counts are for",
    ),
    "sums of too few planes": (
        lambda: broken("spike.read_out", M, V, "i32[B,S,1]", weights=(MINIMUM,)),
        "sums .* do not fit",
    ),
    "read-out with another grouping": (
        lambda: broken("spike.read_out", M, V, weights=(GridWeight(4, 6, False, (5, 6)),)),
        "is not the weight of",
    ),
    "integers read out as floats": (
        lambda: broken("spike.read_out", "membrane<i32, planes=1>[B,S,5]", V, weights=(FLOAT,)),
        "is not the weight of",
    ),
    "bias of another layer": (
        lambda: broken("spike.read_out", M, V, weights=(GRID, FloatWeight((6,)))),
        "the bias .* does not fit",
    ),
    "matmul of floats": (lambda: broken("spike.matmul", C, K, transpose=True), "must have four axes"),
    "matmul of unsigned spikes": (
        lambda: broken("spike.matmul", A, K.replace("csd", "bits"), transpose=True),
        "one signed code",
    ),
    "matmul of two codes": (
        lambda: broken("spike.matmul", A, "spikes<0:4 csd{T=5}, 4:8 csd{T=4}>[B,2,P+S,8]", transpose=True),
        "one signed code",
    ),
    "matmul the wrong way round": (lambda: broken("spike.matmul", A, K), "do not fit together"),
    "matmul of other heads": (
        lambda: broken("spike.matmul", A, K.replace("[B,2", "[B,3"), transpose=True),
        "do not fit together",
    ),
    "V's scale per token in A·V": (
        lambda: broken("spike.read_matmul", AV, "f32[B,4,S,1]", "f32[B,4,1,P+S]"),
        "varies along the contracted axis.*fold it into the other operand",
    ),
    "the probabilities' scale per key": (
        lambda: broken("spike.read_matmul", AV, "f32[B,4,S,P+S]"),
        "varies along the contracted axis",
    ),
    "read_matmul of a linear's membrane": (
        lambda: broken("spike.read_matmul", AV.replace("planes=1", "planes=2"), "f32[B,4,S,1]"),
        "is not of spike.matmul",
    ),
    "current of no steps": (lambda: broken("lif.current", "f32[2]", T=0, frac=8), "T must be at least 1"),
    "firing of a train": (lambda: broken("lif.fire", Q, beta=1, threshold=1), "must be a current"),
    "gain in the membrane": (
        lambda: broken("lif.fire", "current<T=2, frac=8>[2]", beta=300, threshold=1),
        "beta is 0 to 256",
    ),
    "no threshold": (
        lambda: broken("lif.fire", "current<T=2, frac=8>[2]", beta=2, threshold=0),
        "threshold positive",
    ),
    "lif linear of floats": (
        lambda: broken("lif.linear", Q, weights=(FloatWeight((5, 8)),)),
        "does not fit the weight",
    ),
    "lif linear of a vector": (
        lambda: broken("lif.linear", Q, weights=(FixedWeight(8, (8,)),)),
        "does not fit the weight",
    ),
    "lif bias in another fixed point": (
        lambda: broken("lif.linear", Q, weights=(FixedWeight(8, (5, 8)), FixedWeight(9, (5,)))),
        "the bias .* does not fit",
    ),
    "coincidence of other steps": (
        lambda: broken("lif.coincide", Q, KT.replace("T=2", "T=4"), MASK),
        "do not fit together",
    ),
    "coincidence of other heads": (
        lambda: broken("lif.coincide", Q, KT.replace("[B,2", "[B,3"), MASK),
        "do not fit together",
    ),
    "coincidence with a span for one head of four": (
        lambda: broken("lif.coincide", Q, KT, MASK, near=(1,), far=(1,)),
        "give one number for each head",
    ),
    "coincidence of tokens after the query": (
        lambda: broken("lif.coincide", Q, KT, MASK, near=(2, 0, 0, -1), far=(1, 0, 0, 0)),
        "needs 0 <= near <= far",
    ),
    "coincidence without the past": (lambda: broken("lif.coincide", Q, KT, "i64[B,S]"), "do not fit together"),
    "gather of other heads": (
        lambda: broken("lif.gather", "train<T=2>[B,4,S,P+S]", KT.replace("[B,2", "[B,3")),
        "do not fit together",
    ),
    "mean of floats": (lambda: broken("lif.mean", "f32[2]"), "must be a train or a current"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_rule_is_named_with_its_place(case: str) -> None:
    make, says = CASES[case]
    program = make()
    (op,) = program.ops
    with pytest.raises(IRError, match=f"(?s){says}") as caught:
        verify(program)
    assert str(caught.value).startswith(f"{op.name} at model.layers.3.self_attn (modeling_llama.py:42): ")


def test_the_builder_refuses_them_as_well() -> None:
    world = World()
    with pytest.raises(IRError, match=r"^nn\.scale at a\.b: operand 0 must be a f32 tensor"):
        world.op("nn.scale", world.value(Spikes((Segment(0, 6, CSD(5)),), ("B", "S", 6))), by=1.0, loc=Loc("a.b"))


def two() -> Program:
    """Two ops, a weight and a state, all well."""
    world = World()
    x = world.input("x", f32("B", "S", 6))
    y = world.one("nn.linear", x, weights=[world.parameter(FloatWeight((6, 6)))], loc=LOC)
    z = world.one("state.append", y, state=world.state("kv", f32("B", "P", 6)), axis=1, loc=LOC)
    return verify(world.program({"y": y, "z": z}))


def with_op(program: Program, index: int, **changes: Any) -> Program:
    ops = list(program.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(program, ops=tuple(ops))


WHOLE: dict[str, tuple[Callable[[Program], Program], str]] = {
    "use before definition": (lambda p: replace(p, ops=p.ops[::-1]), r"state\.append at model.* is not defined above"),
    "undefined operand": (lambda p: with_op(p, 0, operands=(Value("q", p.inputs[1].type),)), "%q : .* is not defined"),
    "operand of another type": (
        lambda p: with_op(p, 0, operands=(Value("x", f32("B", "S", 7)),)),
        r"%x : f32\[B,S,7\] is not defined above",
    ),
    "two definitions": (
        lambda p: with_op(p, 1, results=(replace(p.ops[1].result, name=p.ops[0].result.name),)),
        "%0 is defined twice",
    ),
    "an input twice": (lambda p: replace(p, inputs=(*p.inputs, p.inputs[0])), "input %ids is defined twice"),
    "a result named as an input": (lambda p: with_op(p, 0, results=(replace(p.ops[0].result, name="x"),)), "%x is"),
    "weight not declared": (lambda p: replace(p, weights={}), "weight @layers.0.weight is not declared"),
    "state not declared": (lambda p: replace(p, states={}), "state @kv is not declared"),
    "state written twice": (
        lambda p: replace(p, ops=(*p.ops, replace(p.ops[1], results=(replace(p.ops[1].result, name="w"),)))),
        "state @kv is written twice",
    ),
    "no output": (lambda p: replace(p, outputs={}), "the program has no output"),
    "undefined output": (lambda p: replace(p, outputs={"o": Value("q", f32("B"))}), "output o = %q is not defined"),
    "output of another type": (lambda p: replace(p, outputs={"o": Value("x", f32("B"))}), "output o = %x is not"),
    "a weight under another name": (
        lambda p: replace(p, weights={"layers.0.weight": Weight("w", FloatWeight((6, 6)), "00")}),
        "@layers.0.weight is no well-formed '@w",
    ),
    "an input that no text says": (
        lambda p: replace(p, inputs=(*p.inputs, Value("z", Tensor("f64", (2,))))),
        "no dimension|no type",
    ),
    "spikes whose segments do not cover": (
        lambda p: replace(p, inputs=(*p.inputs, Value("z", Spikes((Segment(0, 3, CSD(2)),), (6,))))),
        "no well-formed",
    ),
    "an output with a space": (lambda p: replace(p, outputs={"a b": p.ops[0].result}), "'a b' is no name"),
    "a value with a comma": (
        lambda p: with_op(p, 1, results=(replace(p.ops[1].result, name="a,b"),)),
        "'a,b' is no name",
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_broken_program_is_refused(case: str) -> None:
    change, says = WHOLE[case]
    with pytest.raises(IRError, match=says):
        verify(change(two()))


def other_type(of: Type) -> Type:
    """A type that differs from this one."""
    shape = (*of.shape[:-1], 97)
    if isinstance(of, Spikes):
        return Spikes((Segment(0, 97, CSD(3)),), shape)
    return replace(of, shape=shape)


@given(worlds(), st.data())
@settings(max_examples=150, **LAWS)
def test_any_changed_type_or_operand_is_found(world: World, data: st.DataObject) -> None:
    """Whatever is changed in a well-formed program: a result's type, an operand's type, an arity, an attribute."""
    program = verify(world.finish())
    index = data.draw(st.integers(0, len(program.ops) - 1))
    op = program.ops[index]
    changes: list[dict[str, Any]] = [
        {"results": tuple(replace(r, type=other_type(r.type)) for r in op.results)},
        {"results": (*op.results, Value("extra", op.result.type))},
        {"results": op.results[:-1]},
        {"operands": tuple(replace(o, type=other_type(o.type)) for o in op.operands)},
        {"operands": ()},
        {"operands": tuple(replace(o, name="nowhere") for o in op.operands)},
        {"attrs": {**op.attrs, "unheard": 1}},
        {"weights": (*op.weights, "nowhere")},
        {"state": "nowhere"},
        {"name": "nn.nothing"},
        *({"attrs": {k: v for k, v in op.attrs.items() if k != key}} for key in op.attrs),
        *({"attrs": {**op.attrs, key: None}} for key in op.attrs),
    ]
    with pytest.raises(IRError):
        verify(with_op(program, index, **data.draw(st.sampled_from(changes))))


@pytest.mark.parametrize(
    "of",
    [
        f32("B", 6),
        Tensor("i64", ("B", "S")),
        Ints(8, True, ("B", "S", 6)),
        Membrane("i32", 2, ("B", "S", 6)),
        Train(2, ("B", "S", 6)),
        Current(2, 8, ("B", "S", 6)),
        Spikes((Segment(0, 6, CSD(5)),), ("B", "S", 6)),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", sorted(OPS))
def test_rules_raise_nothing_but_ir_errors(name: str, of: Type) -> None:
    """Operands of any type at all: refused, or taken with a result of some other type; never a crash."""
    world = example(name)
    (op, *_) = [op for op in world.ops if op.name == name]
    inputs = tuple(Value(f"x{i}", of) for i in range(len(op.operands)))
    wrong = replace(op, operands=inputs, results=(Value("y", f32(96)),))
    with pytest.raises(IRError, match=rf"^{name} at "):
        verify(Program(inputs, (wrong,), {"y": wrong.result}, world.weights, world.states))


def test_a_membrane_is_read_out_with_the_weight_it_summed() -> None:
    """Another weight of the same shape and as many groups types just as well, and would give wrong numbers."""
    from sdllm.ir import Builder, GridWeight, Loc, Store, Tensor, Ternary, Weight

    store, b = Store(), Builder()
    for name, group in (("a", 64), ("b", 100)):
        b.weight(Weight(name, GridWeight(4, group, False, (8, 128)), "0" * 64))
    table = b.weight(store.put_float("embed", [[0.0] * 128] * 4))
    x = b.one("nn.embed", b.input("ids", Tensor("i64", ("B", "S"))), weights=[table])
    n, v = b.op("spike.encode", x, code=Ternary(7))
    m = b.one("spike.linear", n, weights=["a"])
    y = b.one("spike.read_out", m, v, weights=["b"], loc=Loc("q", ("model.py:3",)))
    with pytest.raises(IRError, match=r"(?s)spike.read_out at q \(model.py:3\): the membrane summed @a, not @b"):
        verify(b.program({"y": y}))
