"""A block as ONNX nodes, made once and put in each of its places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from onnx import GraphProto, NodeProto, TensorProto, helper

from resgraph.emit.element import Element
from resgraph.graph import Instance, Node
from resgraph.graph.typed import places

CONSTANT = "constant"
"""What the names of constants begin with."""


class Made(NamedTuple):
    """A node without the prefix of its place."""

    name: str
    proto: NodeProto
    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True)
class Template:
    """The nodes of an instance, names without the prefix of its place.

    `local` names are prefixed where the block stands; `inputs` are what came before, and all
    others the model's constants. An output may be an input as it came.
    """

    nodes: Sequence[Made]
    inputs: Sequence[str]
    outputs: Sequence[str]
    local: frozenset[str]

    def append_to(
        self,
        proto: GraphProto,
        prefix: str,
        given: Sequence[str],
        renamed: dict[str, str] | None = None,
    ) -> tuple[str, ...]:
        """Append the nodes for the block at `prefix`, which is given these values.

        Returns the names of its outputs; local names may be `renamed`.
        """
        names = self._names(prefix, given) | (renamed or {})
        for made in self.nodes:
            node = proto.node.add()
            node.CopyFrom(made.proto)
            node.name = (prefix + made.name).rstrip(".") or node.op_type
            node.input.extend([names.get(name, name) for name in made.inputs])
            node.output.extend([names[name] for name in made.outputs])
        return tuple(names[name] for name in self.outputs)

    def within(
        self, prefix: str, given: Sequence[str]
    ) -> tuple[list[Made], frozenset[str], tuple[str, ...]]:
        """As a part of another template: its nodes, local names and outputs there."""
        names = self._names(prefix, given)
        nodes = [
            Made(
                prefix + made.name,
                made.proto,
                [names.get(name, name) for name in made.inputs],
                [names[name] for name in made.outputs],
            )
            for made in self.nodes
        ]
        local = frozenset(names[name] for name in self.local)
        return nodes, local, tuple(names[name] for name in self.outputs)

    def _names(self, prefix: str, given: Sequence[str]) -> dict[str, str]:
        names = {name: prefix + name for name in self.local}
        return names | dict(zip(self.inputs, given, strict=True))


class Templates:
    """The templates of a model, each distinct instance's made once."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self._known: dict[int, Template] = {}

    def of(self, instance: Instance, shared: bool = True) -> Template:
        """The instance's; one that is not `shared` is of one place, and is not kept.

        Constants that its nodes read are then among the model's.
        """
        if not shared:
            return self.made(instance, shared)
        if id(instance) not in self._known:  # it lives as long as its network
            self._known[id(instance)] = self.made(instance, shared)
        return self._known[id(instance)]

    def made(self, instance: Instance, shared: bool) -> Template:
        """A new one."""
        return self.body(instance, self.constants, shared)

    def body(self, instance: Instance, constants: Constants, shared: bool) -> Template:
        """The nodes of the block, with what its rows of other blocks become."""
        block = instance.block
        values = {name: name for name in block.inputs}
        nodes: list[Made] = []
        local: set[str] = set()
        for part in block.nodes:
            given = tuple(values[i] for i in part.inputs)
            if isinstance(part, Node):
                builder = NodeBuilder(part.name, nodes, local, constants)
                shapes = [instance.shapes[i] for i in part.inputs]
                result = part.op.onnx(builder, *given, shapes=shapes)
                values[part.name] = builder.name_last(result)
                continue
            for prefix, inner, alone in places(part, instance.runs[part.name]):
                template = self.of(inner, shared and alone)
                more, names, given = template.within(prefix, given)
                nodes += more
                local |= names
            values |= zip(instance.values(part), given, strict=True)
        outputs = [values[value] for value in block.results.values()]
        return Template(nodes, block.inputs, outputs, frozenset(local))


@dataclass
class NodeBuilder:
    """What an op writes its nodes to (`resgraph.ops.OnnxBuilder`)."""

    name: str
    nodes: list[Made]
    local: set[str]
    constants: Constants
    made: int = 0

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        inner = f"{self.name}/inner" if self.name == CONSTANT else self.name
        output = f"{inner}/{self.made}"
        self.made += 1
        proto = NodeProto(op_type=op_type)
        for key, value in attributes.items():
            proto.attribute.append(helper.make_attribute(key, value))
        self.nodes.append(Made(output, proto, inputs, [output]))
        self.local.add(output)
        return output

    def name_last(self, result: str) -> str:
        """Let the op's result bear the op's name; an op without nodes is an alias."""
        if not self.made:
            return result
        last = self.nodes[-1]
        self.nodes[-1] = last._replace(name=self.name, outputs=[self.name])
        self.local.discard(last.name)
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
            name = f"{CONSTANT}/{len(self.known)}"
            self.tensors[name] = helper.make_tensor(name, code, dims, list(values))
            self.known[key] = name
        return self.known[key]
