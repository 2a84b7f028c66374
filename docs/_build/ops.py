"""The op reference: what each op class states, and what it makes of its first use in a spec."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any

from onnx import printer

from resgraph.compiler import Compiler
from resgraph.emit.class_source import number_of
from resgraph.emit.element import FLOAT32
from resgraph.emit.nodes import Constants, Templates
from resgraph.expr import literal
from resgraph.graph import Graph, Instance, Node
from resgraph.graph.sites import sites
from resgraph.ops import OPS, Op, Role
from resgraph.ops.describe import describe
from resgraph.prove.prose import prose
from resgraph.syntax import Name

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "tests" / "specs" / "zoo.yaml"
"""A spec with every op, for those that no network of the paper has."""


@dataclass(frozen=True)
class Use:
    """An op where a spec uses it, resolved, with what goes in and comes out."""

    spec: str
    node: Node
    instance: Instance
    inputs: tuple[str, ...]


def page() -> str:
    """The ops in the order of their modules, each module a section."""
    sections = groupby(OPS.values(), key=lambda op: op.__module__)
    return "\n".join(line for name, ops in sections for line in _section(name, ops))


def _section(module: str, ops: Iterable[type[Op]]) -> Iterator[str]:
    title = inspect.getdoc(import_module(module)) or module
    yield f"## {title.splitlines()[0].rstrip('.')}\n"
    for op in ops:
        yield from _op(op.kind, op)


def _op(kind: str, op: type[Op]) -> Iterator[str]:
    yield f"### {kind}\n"
    yield f"{_text(inspect.getdoc(op) or '')}\n"
    yield from _attributes(op)
    yield from _facts(op)
    yield from _example(_uses()[kind])


def _attributes(op: type[Op]) -> Iterator[str]:
    schema = op.model_json_schema()["properties"]
    yield "| attribute | what it is | value | default |"
    yield "|---|---|---|---|"
    for attribute in describe(op)["attributes"]:
        name = attribute["name"]
        default = attribute["default"]
        given = "required" if default is None else f"`{default}`"
        yield f"| `{name}` | {_text(attribute['description'])} | {_kind(schema[name])} | {given} |"
    yield ""


def _kind(schema: dict[str, Any]) -> str:
    """What may stand there, in words; a number's schema has them as its title."""
    form: dict[str, Any] = schema.get("anyOf", [schema])[0]
    if isinstance(form["type"], list):
        return str(form["title"])
    return {"string": "a name", "boolean": "true or false"}[form["type"]]


def _facts(op: type[Op]) -> Iterator[str]:
    """What the class states beside its attributes, in words."""
    low, high = op.inputs
    yield f"- Takes {_count(low, high)}."
    if rule := op.shape.__doc__ if "shape" in vars(op) else None:
        yield f"- Shape: {_text(inspect.cleandoc(rule))}"
    if op.role not in (Role.PLAIN, Role.UNKNOWN):
        yield f"- Its role in a unit: {op.role.value}."
    said = prose(op)
    if said.on_shortcut:
        yield f"- On the shortcut: {_text(said.on_shortcut)}."
    if said.after_addition:
        yield f"- After the addition: {_text(said.after_addition)}."
    if op.also:
        yield f"- Elsewhere called {', '.join(f'`{name}`' for name in op.also)}."
    yield ""


def _count(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} values or more"
    return "one value" if (low, high) == (1, 1) else f"{low} to {high} values"


def _example(use: Use) -> Iterator[str]:
    """The spec's line, and what becomes of it; the numbers are those of its instance."""
    node, shapes = use.node, use.instance.shapes
    inputs = " and ".join(str(list(shapes[i])) for i in use.inputs)
    line = node.span.line
    place = f"[`{use.spec}:{line}`](../{use.spec}#L{line})"
    yield f"At {place}, from {inputs} to {list(shapes[node.name])}:\n"
    yield _fenced("yaml", [f"- {_written(node.op)}"])
    yield _fenced("python", _torch(use))
    if nodes := [*_onnx(use)]:
        yield _fenced('text title="ONNX"', nodes)
    else:
        yield "In ONNX there is nothing of it.\n"


def _fenced(info: str, lines: Iterable[str]) -> str:
    return "\n".join([f"```{info}", *lines, "```", ""])


def _torch(use: Use) -> Iterator[str]:
    """What the generated `__init__` and `forward` have of it."""
    name, op = use.node.name, use.node.op
    channels = [use.instance.shapes[i][0] for i in use.inputs]
    if (layer := op.torch_layer(*channels)) is not None:
        yield f"self.{name} = {layer}"
        for weight, start in op.starts().items():
            if start != op.torch_starts.get(weight) and not start.note:
                yield str(start.torch(Name(f"self.{name}.{weight}")))
    number = partial(number_of, op)
    call = op.torch_call(Name(f"self.{name}"), *map(Name, use.inputs), number=number)
    yield f"{name} = {call}"


def _onnx(use: Use) -> Iterator[str]:
    """Its nodes, as ONNX's own text syntax has them."""
    name = use.node.name
    for made in Templates(Constants(FLOAT32)).of(use.instance).nodes:
        node, (output,) = made.proto, made.outputs
        if output == name or output.startswith(f"{name}/"):
            node.input[:] = made.inputs
            node.output[:] = [output]
            yield fill(
                str(printer.to_text(node)).strip(),
                width=88,
                subsequent_indent="    ",
                break_long_words=False,
            )


def _written(op: Op) -> str:
    attributes = {k: _plain(v) for k, v in op.attributes().items()}
    if not attributes:
        return op.kind
    inner = ", ".join(f"{key}: {value}" for key, value in attributes.items())
    return f"{op.kind}: {{{inner}}}"


def _plain(value: Any) -> str:
    return json.dumps(value if isinstance(value, bool | str) else literal(value))


@cache
def _uses() -> dict[str, Use]:
    """The first use of each op."""
    uses: dict[str, Use] = {}
    compiler = Compiler()
    specs = (ROOT / "specs").glob("*.yaml")
    for path in [*sorted(specs, key=_plainness), ZOO]:
        graph = compiler.graphs(path)[0]
        for instance in _instances(graph):
            for node in instance.block.ops:
                spec = Path(node.span.file).relative_to(ROOT).as_posix()
                uses.setdefault(node.op.kind, Use(spec, node, instance, node.inputs))
    return uses


def _plainness(path: Path) -> tuple[bool, str]:
    """Specs that stand alone come before those that change another."""
    return "\nextends:" in path.read_text("utf-8"), path.name


def _instances(graph: Graph) -> Iterator[Instance]:
    yield from (site.instance for site in sites(graph))
    yield from (end for end in (graph.stem, graph.head) if end)


def _text(text: str) -> str:
    """Words from the code, in which Markdown has no business."""
    return re.sub(r"([\[\]*_])", r"\\\1", text.replace("|", "&#124;"))
