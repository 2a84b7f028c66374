"""A graph's ONNX model in parts that merge into it: its head, a part for each unit, its tail.

Serialised protobuf messages merge when they follow one another, so a model of any depth is
written part by part, and none but the current one is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from resgraph import __version__
from resgraph.diagnostics import visible
from resgraph.emit.element import FLOAT32, Element
from resgraph.emit.functions import DOMAIN, Functions
from resgraph.emit.initialisers import external, tensors
from resgraph.emit.nodes import Constants, Template, template_of
from resgraph.graph import Graph, Instance, digest
from resgraph.names import LOGITS
from resgraph.ops import Shape

INPUT = "input"


@dataclass(frozen=True)
class Part:
    """The nodes of one unit, without its weights.

    `value` is what they are computed from, and `result` what comes out of them.
    """

    prefix: str
    instance: Instance
    nodes: GraphProto
    value: str
    result: str


class Model:
    """The parts of a graph's model, all of type `element` between input and logits."""

    def __init__(
        self,
        graph: Graph,
        metadata: Mapping[str, str],
        element: Element = FLOAT32,
        functions: bool = False,
    ) -> None:
        self.graph = graph
        self.element = element
        self._metadata = metadata
        self._constants = Constants(element)
        self._functions = Functions(element) if functions else None
        self._templates: dict[int, Template] = {}
        for instance in self._distinct():
            self._prepare(instance)

    def _distinct(self) -> Iterator[Instance]:
        """In the order of execution."""
        graph = self.graph
        yield graph.typed(graph.stem_run)
        for stage in graph.runs:
            for run in stage:
                yield from run.instances
        yield graph.typed(graph.head_run)

    def _prepare(self, instance: Instance) -> None:
        if self._functions:
            self._functions.define(instance)
        elif id(instance) not in self._templates:
            self._templates[id(instance)] = template_of(instance, self._constants)

    @property
    def numbers(self) -> int:
        """Bytes of its numbers."""
        return self.element.size * self.graph.total("numbers")

    def head(self) -> ModelProto:
        """All but the nodes of units and their weights."""
        graph = self.graph
        own = {"resgraph.network": graph.name, "resgraph.digest": digest(graph)}
        model = self.frame()
        model.doc_string = visible(graph.title)
        for key, value in (own | dict(self._metadata)).items():
            model.metadata_props.add(key=key, value=value)
        model.graph.input.append(typed(INPUT, graph.input))
        shape = graph.typed(graph.head_run).output
        model.graph.output.append(typed(LOGITS, shape))
        return model

    def frame(self) -> ModelProto:
        """What any piece of the model needs to stand as a model of its own."""
        model = ModelProto(
            ir_version=self.element.ir_version,
            producer_name="resgraph",
            producer_version=__version__,
        )
        model.opset_import.add(domain="", version=self.element.opset)
        model.graph.name = self.graph.name
        if self._functions:
            model.opset_import.add(domain=DOMAIN, version=1)
            model.functions.extend(self._functions.protos)
        model.graph.initializer.extend(self._constants.tensors.values())
        return model

    def parts(self) -> Iterator[Part]:
        """The units that compute something, in order; their count is the depth."""
        value = INPUT
        held: Part | None = None  # the last one ends in the logits
        for prefix, instance in self.graph.parts():
            part = self._part(prefix, instance, value)
            value = part.result
            if part.nodes.node:  # a unit without nodes is its input, and has no weights
                if held:
                    yield held
                held = part
        assert held is not None  # something makes logits of an image
        self._end_in(held.nodes, value)
        yield replace(held, result=LOGITS)

    def _part(self, prefix: str, instance: Instance, value: str) -> Part:
        nodes = GraphProto()
        given = value
        if value == INPUT and not prefix and self.element is not FLOAT32:
            given = _cast(nodes, INPUT, self.element.code)
        if self._functions:
            result = self._functions.call(nodes, prefix, instance, given)
        else:
            template = self._templates[id(instance)]
            result = template.append_to(nodes, prefix, given)
        return Part(prefix, instance, nodes, value, result)

    def _end_in(self, nodes: GraphProto, value: str) -> None:
        """Give the last value the public name `logits`, in float32."""
        if self.element is not FLOAT32:
            value = _cast(nodes, value, TensorProto.FLOAT)
        if nodes.node and list(nodes.node[-1].output) == [value]:
            nodes.node[-1].output[0] = LOGITS
        else:
            nodes.node.add(
                name=LOGITS, op_type="Identity", input=[value], output=[LOGITS]
            )

    @cached_property
    def size(self) -> int:
        """Bytes of the model without its numbers, as much as they can be: no depth is walked."""
        graph = self.graph
        total = int(self.head().ByteSize()) + _ENDS
        for instance in (graph.typed(graph.stem_run), graph.typed(graph.head_run)):
            total += self._most("", instance)
        for number, stage in enumerate(graph.runs, 1):
            last = sum(run.count for run in stage)
            for run in stage:
                each = sum(
                    self._most(f"stage{number}.{last}.", i) for i in run.instances
                )
                total += each * (run.count // len(run.instances))
        return total

    def _most(self, prefix: str, instance: Instance) -> int:
        """Bytes of a unit and its tensors, of which none has a number in it."""
        nodes = self._part(prefix, instance, f"{prefix}{'x' * _LONGEST}").nodes
        size = int(ModelProto(graph=nodes).ByteSize())
        for name, weight in tensors(prefix, instance):
            tensor = external(name, weight, self.element, _FILE, 2**40, 2**40)
            size += ModelProto(graph=GraphProto(initializer=[tensor])).ByteSize()
        return size


_LONGEST = 64
"""Letters of a value's name at most."""
_ENDS = 1000
"""Bytes of what makes the first value of the input, and the logits of the last, and then some."""
_FILE = f"{'x' * _LONGEST}.onnx.data"


def typed(name: str, shape: Shape, code: int = TensorProto.FLOAT) -> ValueInfoProto:
    """A value of so many images, N of them."""
    return helper.make_tensor_value_info(name, code, ["N", *shape])


def _cast(nodes: GraphProto, value: str, code: int) -> str:
    name = f"{value}/cast"
    nodes.node.add(name=name, op_type="Cast", input=[value], output=[name])
    nodes.node[-1].attribute.append(helper.make_attribute("to", code))
    return name
