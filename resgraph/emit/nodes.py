"""A unit instance as ONNX nodes, made once and put in each of its places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, helper

from resgraph.emit.element import Element
from resgraph.graph import INPUT, Instance


@dataclass
class Template:
    """The nodes of one unit instance, names without the prefix of its place.

    `local` names are prefixed where the unit stands; all others are the model's constants,
    and `x` is what came before.
    """

    nodes: list[tuple[NodeProto, list[str], str]]
    local: set[str]
    output: str

    def append_to(self, proto: GraphProto, prefix: str, x: str) -> str:
        """Append the nodes for the unit at `prefix` and return the name of its output."""
        names = {name: prefix + name for name in self.local}
        names[INPUT] = x
        for template, inputs, output in self.nodes:
            node = proto.node.add()
            node.CopyFrom(template)
            node.name = names[output]
            node.input.extend([names.get(name, name) for name in inputs])
            node.output.append(names[output])
        return names[self.output]


def template_of(instance: Instance, constants: Constants) -> Template:
    """The instance's nodes; the constants that they read go to `constants`."""
    values = {INPUT: INPUT}
    nodes: list[tuple[NodeProto, list[str], str]] = []
    local: set[str] = set()
    for _, node, inputs in instance.unit.steps():
        builder = NodeBuilder(node.name, nodes, local, constants)
        shapes = [instance.shapes[i] for i in inputs]
        result = node.op.onnx(builder, *(values[i] for i in inputs), shapes=shapes)
        values[node.name] = builder.name_last(result)
    return Template(nodes, local, values[instance.unit.output])


@dataclass
class NodeBuilder:
    """What an op writes its nodes to (`resgraph.ops.OnnxBuilder`)."""

    name: str
    nodes: list[tuple[NodeProto, list[str], str]]
    local: set[str]
    constants: Constants
    made: int = 0

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        output = f"{self.name}/{self.made}"
        self.made += 1
        template = NodeProto(op_type=op_type)
        for key, value in attributes.items():
            template.attribute.append(helper.make_attribute(key, value))
        self.nodes.append((template, list(inputs), output))
        self.local.add(output)
        return output

    def name_last(self, result: str) -> str:
        """Let the op's result bear the op's name; an op without nodes is an alias."""
        if not self.made:
            return result
        node, inputs, output = self.nodes[-1]
        self.nodes[-1] = (node, inputs, self.name)
        self.local.discard(output)
        self.local.add(self.name)
        return self.name

    def weight(self, name: str) -> str:
        full = f"{self.name}.{name}"
        self.local.add(full)
        return full

    def ints(self, *values: int) -> str:
        return self.constants.ints(values)

    def scalar(self, value: float) -> str:
        return self.constants.scalar(value)


@dataclass
class Constants:
    """Small tensors that are no weights, each once, by name."""

    element: Element
    tensors: dict[str, TensorProto] = field(default_factory=dict)
    known: dict[tuple[int, tuple[float, ...]], str] = field(default_factory=dict)

    def ints(self, values: Sequence[int]) -> str:
        return self._add(TensorProto.INT64, values, [len(values)])

    def scalar(self, value: float) -> str:
        return self._add(self.element.code, (value,), [])

    def _add(self, code: int, values: Sequence[float], dims: Sequence[int]) -> str:
        key = (code, tuple(values))
        if key not in self.known:
            name = f"constant/{len(self.known)}"
            self.tensors[name] = helper.make_tensor(name, code, dims, list(values))
            self.known[key] = name
        return self.known[key]
