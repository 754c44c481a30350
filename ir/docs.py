"""docs/ops.md from the op table: `python -m sdllm.ir.docs > docs/ops.md`."""

from __future__ import annotations

import inspect

from .codes import Code
from .ops import OPS, Attr, OpDef
from .printer import FORMAT, print_attr

_KINDS = {
    "nn": "Dense ops",
    "state": "State",
    "spike": "Spike ops",
    "int": "Integers",
    "lif": "Stateful neurons",
}
_ORDER = ("spike", "int", "lif", "nn", "state")
_TYPES = {int: "integer", float: "number", bool: "true or false", tuple: "list", Code: "spike code", str: "word"}


def _span(span: tuple[int, int]) -> str:
    low, high = span
    return str(low) if low == high else f"{low} to {high}"


def _attribute(key: str, spec: Attr) -> str:
    kind = ", ".join(f"`{w}`" for w in spec.words) or " or ".join(_TYPES[t] for t in spec.types)
    default = "" if spec.required else f"`{print_attr(spec.default)}`"
    return f"| `{key}` | {kind} | {default} |"


def _entry(definition: OpDef) -> list[str]:
    takes = [f"{_span(definition.operands)} operand{'s' * (definition.operands != (1, 1))}"]
    if definition.weights != (0, 0):
        takes.append(f"{_span(definition.weights)} weight{'s' * (definition.weights != (1, 1))}")
    if definition.state:
        takes.append("a state")
    lines = [f"### {definition.name}", "", f"Version {definition.version}. {', '.join(takes)}.", ""]
    lines += ["```", inspect.cleandoc(definition.doc), "```", ""]
    if definition.attrs:
        lines += ["| attribute | values | default |", "|---|---|---|"]
        lines += [_attribute(key, spec) for key, spec in definition.attrs.items()]
        lines.append("")
    return lines


def ops_page() -> str:
    """The whole page."""
    lines = [
        "# Ops",
        "",
        "Written by `python -m sdllm.ir.docs` from the op table (`ir/ops/`); do not edit. What types, codes and the",
        f"text form are is in [ir.md](ir.md). Text format {FORMAT}. An attribute without a default must be given.",
        "",
    ]
    for prefix in _ORDER:
        names = [name for name in OPS if name.split(".")[0] == prefix]
        lines += [f"## {_KINDS[prefix]}", ""]
        for name in names:
            lines += _entry(OPS[name])
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(ops_page(), end="")
