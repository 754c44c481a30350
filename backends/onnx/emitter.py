"""A program on its way to an ONNX model: each op becomes standard nodes, or one call of a function of the model's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx_ir as onnx

from ...ir import NOWHERE, OPS, Op, Program, Spikes, Store, Weight, WeightType, print_op
from ...ir.types import Dim, Type
from . import values
from .body import FLOAT, UINT8, Array, Body, Value
from .options import Options

DOMAIN = "ai.sdllm"
OPSET = 23

Arrays = Callable[[], Array]


@dataclass
class Scope:
    """Where a printer writes: into a function, whose inputs are brought in from the graph, or into the graph itself."""

    emitter: Emitter
    b: Body
    inside: bool
    outer: list[Value] = field(default_factory=list)
    inner: list[Value] = field(default_factory=list)

    def bring(self, value: Value, name: str) -> Value:
        """A value of the graph as it is called here."""
        if not self.inside:
            return value
        if value not in self.outer:
            again = sum((v.name or "").split("_")[0] == name for v in self.inner)
            self.outer.append(value)
            self.inner.append(Value(name=f"{name}_{again}" if again else name))
        return self.inner[self.outer.index(value)]

    def constant(self, name: str, kind: onnx.DataType, shape: Sequence[int], make: Arrays, here: str) -> Value:
        """An initializer of the graph, by name; `make` is called when it is written."""
        return self.bring(self.emitter.initializer(name, kind, shape, make), here)


@dataclass
class Call(Scope):
    """One op for its printer."""

    op: Op = field(kw_only=True)

    @property
    def program(self) -> Program:
        return self.emitter.program

    def attr(self, name: str) -> Any:
        """An attribute."""
        return self.op.attrs[name]

    def operand(self, index: int) -> Type:
        """The type of an operand."""
        return self.op.operands[index].type

    def result(self, index: int = 0) -> Type:
        """The type of a result."""
        return self.op.results[index].type

    def x(self, index: int = 0, name: str = "x") -> Value:
        """An operand, as called in here."""
        return self.bring(self.emitter.values[self.op.operands[index].name], name)

    def weight(self, index: int = 0) -> Weight:
        """A weight's declaration."""
        return self.program.weights[self.op.weights[index]]

    def of(self, index: int = 0) -> WeightType:
        """A weight's type."""
        return self.weight(index).type

    def floats(self, index: int, here: str) -> Value:
        """A weight's float32 values."""
        w, store = self.weight(index), self.emitter.store
        return self.constant(w.name, FLOAT, w.type.shape, lambda: store.floats(w), here)

    def form(
        self, index: int, suffix: str, kind: onnx.DataType, shape: Sequence[int], make: Callable[[], Array]
    ) -> Value:
        """A weight in another form, under its own name and a suffix."""
        return self.constant(f"{self.weight(index).name}.{suffix}", kind, shape, make, suffix.split(".")[0])


Printer = Callable[[Call], Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Form:
    """What an op becomes: a call of a function of that name, or, without a name, nodes of the graph.

    `fast` is the form in fast programs, where it gives one.
    """

    print: Printer
    function: str = ""
    fast: Callable[[Call], Sequence[Value] | None] = lambda call: None


class Emitter:
    """Collects the nodes, functions and initializers of a program, op by op."""

    def __init__(self, program: Program, store: Store, options: Options) -> None:
        self.program, self.store, self.options = program, store, options
        self.users = program.users()
        self.main = Body(self._shared_constant)
        self.values: dict[str, Value] = {}
        self.inputs: list[Value] = []
        self.presents: list[Value] = []
        self.scaled: set[str] = set()
        self.bytes: set[str] = set()
        self.floats: set[str] = set()
        self.functions: dict[bytes, onnx.Function] = {}
        self.initializers: dict[str, Value] = {}
        self.map: list[dict[str, Any]] = []
        self._bases: dict[str, int] = {}
        self._cache: dict[Hashable, Value] = {}
        self._named: set[str] = set()
        for given in program.inputs:
            self.values[given.name] = self._input(values.input_name(given), *self.held(given.name, given.type))
        self._pasts: dict[str, Value] = {}

    def held(self, name: str, of: Type) -> tuple[onnx.DataType, tuple[Dim, ...]]:
        """dtype and axes of a value; membranes in `scaled` are sums over planes, in units of the weights, counts in
        `bytes` or `floats` are as products take them."""
        if name in self.scaled or name in self.floats:
            return FLOAT, of.shape
        if name in self.bytes:
            assert isinstance(of, Spikes)
            return UINT8, values.stacked(of)
        return values.dtype(of, fast=self.options.fast), values.axes(of)

    def past(self, state: str) -> Value:
        """The input that brings a state's past."""
        if state not in self._pasts:
            of = self.program.states[state]
            self._pasts[state] = self._input(values.state_names(of)[0], *self.held("", of.type))
        return self._pasts[state]

    def initializer(self, name: str, kind: onnx.DataType, shape: Sequence[int], make: Arrays) -> Value:
        """A named array of the model, made when it is written."""
        if name not in self.initializers:

            def tensor() -> onnx.TensorProtocol:
                return onnx.Tensor(make(), name=name, dtype=kind)

            made = Value(name=name, type=onnx.TensorType(kind), shape=onnx.Shape(shape))
            made.const_value = onnx.LazyTensor(tensor, dtype=kind, shape=onnx.Shape(shape), name=name)
            self.initializers[name] = made
        return self.initializers[name]

    def shared(
        self, key: Hashable, base: str, build: Callable[[Scope], Value], kind: onnx.DataType, axes: tuple[Dim, ...]
    ) -> Value:
        """A value that several ops need, as one call of a function at its first use."""
        if key not in self._cache:
            scope = Scope(self, Body(), inside=True)
            made = build(scope)
            result = values.value(f"{base}.{len(self._cache)}", kind, axes)
            self._call(base, scope, [made], [result], result.name or base, {})
            self._cache[key] = result
        return self._cache[key]

    def emit(self, op: Op, form: Form) -> None:
        """Append what an op becomes and note it in the map."""
        before = len(self.main.nodes)
        call = Call(self, self.main if not form.function else Body(), bool(form.function), op=op)
        made = (form.fast(call) if self.options.fast else None) or form.print(call)
        results = [values.value(f"%{r.name}", *self.held(r.name, r.type)) for r in op.results]
        if op.state is not None:
            results[0].name = values.state_names(self.program.states[op.state])[1]
        told = {"sdllm.op": print_op(replace(op, loc=NOWHERE))}
        if op.loc != NOWHERE:
            told |= {"sdllm.module": op.loc.module, "sdllm.source": ", ".join(op.loc.sources)}
        if form.function:
            name = f"{op.loc.module or 'of no module'}/{form.function}_{op.result.name}"
            became = self._call(form.function, call, made, results, name, told)
        else:
            self._place(op, made, results, before, told)
            became = " + ".join(node.op_type for node in self.main.nodes[before:])
        for r, value in zip(op.results, results, strict=True):
            self.values[r.name] = value
        if op.state is not None:
            self.presents.append(results[0])
        self.map.append(
            {
                "op": op.result.name,
                "ir": told["sdllm.op"],
                "became": became,
                "module": op.loc.module,
                "loc": list(op.loc.sources),
            }
        )

    def model(self, metadata: dict[str, str], version: str) -> onnx.Model:
        """The whole model. No op may follow."""
        outputs = [self._output(values.output_name(n), self.values[v.name]) for n, v in self.program.outputs.items()]
        imports = {"": OPSET, **({DOMAIN: 1} if self.functions else {}), **self._foreign(self.main.nodes)}
        for function in self.functions.values():
            imports |= self._foreign(list(function))
        graph = onnx.Graph(
            self.inputs,
            outputs + self.presents,
            nodes=self.main.nodes,
            initializers=list(self.initializers.values()),
            opset_imports=imports,
            name=str(self.program.meta.get("architecture") or "program"),
        )
        return onnx.Model(
            graph,
            ir_version=11,
            producer_name="sdllm",
            producer_version=version,
            functions=list(self.functions.values()),
            metadata_props=metadata,
        )

    def _input(self, name: str, kind: onnx.DataType, axes: tuple[Dim, ...]) -> Value:
        made = values.value(name, kind, axes)
        self.inputs.append(made)
        return made

    def _output(self, name: str, value: Value) -> Value:
        if value.producer() is None or value in self.presents or value.name in self._named:
            value, old = self.main("Identity", value), value
            value.type, value.shape = old.type, old.shape
        value.name = name
        self._named.add(name)
        return value

    def _place(self, op: Op, made: Sequence[Value], results: list[Value], before: int, told: dict[str, str]) -> None:
        """Give the nodes that a printer put into the graph their names, and the last values those of the results."""
        nodes = self.main.nodes[before:]
        for i, node in enumerate(nodes):
            node.name = f"{op.loc.module or 'of no module'}/{node.op_type}_{op.result.name}" + f".{i}" * bool(i)
            node.metadata_props.update(told)
            for k, output in enumerate(node.outputs):
                if output.name is None:
                    output.name = f"%{op.result.name}.{i}" + f".{k}" * bool(k)
        for i, (value, result) in enumerate(zip(made, results, strict=True)):
            assert value.producer() in nodes, op
            value.name, value.type, value.shape = result.name, result.type, result.shape
            results[i] = value

    def _call(
        self,
        base: str,
        scope: Scope,
        made: Sequence[Value],
        results: Sequence[Value],
        name: str,
        told: dict[str, str],
    ) -> str:
        function = self._function(base, scope, made, told)
        node = onnx.Node(DOMAIN, function.name, scope.outer, outputs=list(results), name=name, metadata_props=told)
        self.main.nodes.append(node)
        return f"{DOMAIN}.{function.name}"

    def _function(self, base: str, scope: Scope, made: Sequence[Value], told: dict[str, str]) -> onnx.Function:
        """A function of that body: one that is there already, or a new one under the next free name."""
        imports = {"": OPSET, **self._foreign(scope.b.nodes)}
        op = told.get("sdllm.op", "").partition(" = ")[2].partition(" ")[0]
        doc = f"{op}: {OPS[op].doc}" if op in OPS else ""
        graph = onnx.Graph(scope.inner, made, nodes=scope.b.nodes, opset_imports=imports, name=base, doc_string=doc)
        function = onnx.Function(DOMAIN, base, graph=graph, attributes=())
        content = onnx.to_proto(function).SerializeToString(deterministic=True)
        if content not in self.functions:
            number = self._bases[base] = self._bases.get(base, 0) + 1
            if number > 1:
                function.name = f"{base}_{number}"
            self.functions[content] = function
        return self.functions[content]

    def _foreign(self, nodes: Sequence[onnx.Node]) -> dict[str, int]:
        return {node.domain: 1 for node in nodes if node.domain not in ("", DOMAIN)}

    def _shared_constant(self, value: Array) -> Value:
        name = f"constant.{len([n for n in self.initializers if n.startswith('constant.')])}"
        return self.initializer(name, onnx.DataType.from_numpy(value.dtype), value.shape, lambda: value)
