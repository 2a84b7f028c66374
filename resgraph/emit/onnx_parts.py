"""A graph's ONNX model in parts that merge into it: its head, a part for each unit, its tail.

Serialised protobuf messages merge when they follow one another, so a model of any depth is
written part by part, and none but the current one is in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from resgraph import __version__
from resgraph.diagnostics import visible
from resgraph.emit.element import FLOAT32, Element
from resgraph.emit.functions import DOMAIN, Functions
from resgraph.emit.initialisers import external
from resgraph.emit.nodes import Constants, Template, Templates
from resgraph.graph import Graph, Instance, Run, digest
from resgraph.graph.typed import places
from resgraph.names import IMAGES
from resgraph.ops import Shape


class Value(NamedTuple):
    """A value of the model, of so many images, N of them."""

    name: str
    shape: Shape
    code: int = TensorProto.FLOAT

    def typed(self) -> ValueInfoProto:
        return helper.make_tensor_value_info(self.name, self.code, ["N", *self.shape])


@dataclass(frozen=True)
class Part:
    """The nodes of one unit, without its weights; of the last part, no unit's.

    `given` are what they are computed from, and `made` what comes out of them.
    """

    prefix: str
    instance: Instance | None
    nodes: GraphProto
    given: Sequence[Value]
    made: Sequence[Value]


class _Origin(NamedTuple):
    """Where a value is made: by which unit, and its name there."""

    prefix: str
    name: str


class Model:
    """The parts of a graph's model, all of type `element` between its input and outputs."""

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
        self._functions = Functions(element) if functions else None
        self._templates = self._functions or Templates(Constants(element))
        self._taken = frozenset((IMAGES, *graph.outputs))
        for run in (run for runs in graph.network.runs.values() for run in runs):
            for instance in run.instances if run.each is None else run:
                self._templates.of(instance, run.each is None)

    @property
    def numbers(self) -> int:
        """Bytes of its numbers."""
        return self.element.size * self.graph.total("numbers")

    @cached_property
    def outputs(self) -> tuple[Value, ...]:
        """What it returns, in float32."""
        shapes = self.graph.network.shapes
        return tuple(Value(n, shapes[v]) for n, v in self.graph.outputs.items())

    def head(self) -> ModelProto:
        """All but the nodes of units and their weights."""
        graph = self.graph
        own = {"resgraph.network": graph.name, "resgraph.digest": digest(graph)}
        model = self.frame()
        model.doc_string = visible(graph.title)
        for key, value in (own | dict(self._metadata)).items():
            model.metadata_props.add(key=key, value=value)
        model.graph.input.append(Value(IMAGES, graph.input).typed())
        model.graph.output.extend(value.typed() for value in self.outputs)
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
        model.graph.initializer.extend(self._templates.constants.tensors.values())
        return model

    # --- parts ----------------------------------------------------------------------------

    def parts(self) -> Iterator[Part]:
        """The units that compute something, in order; their count is the depth."""
        network, nodes = self.graph.network, GraphProto()
        image = Value(IMAGES, self.graph.input)
        read, made = [image], list[Value]()
        if self.element is not FLOAT32:
            image = _cast(nodes, image, self.element.code)
            made.append(image)
        values = dict.fromkeys(network.block.inputs, image)
        for row in network.block.rows:
            given = tuple(values[i] for i in row.inputs)
            for prefix, instance, shared in places(row, network.runs[row.name]):
                template = self._templates.of(instance, shared)
                read += given
                given, more = self._unit(nodes, prefix, instance, template, given)
                if nodes.node:  # a unit without nodes is its input, and has no weights
                    yield Part(prefix, instance, nodes, read, [*made, *more])
                    nodes, read, made = GraphProto(), [], []
            values |= zip(network.values(row), given, strict=True)
        yield from self._rest()

    def _unit(
        self,
        nodes: GraphProto,
        prefix: str,
        instance: Instance,
        template: Template,
        given: tuple[Value, ...],
    ) -> tuple[tuple[Value, ...], list[Value]]:
        """Append a unit's nodes; its outputs, and all that it makes for others."""
        at = self._ends_of.get(prefix, {})
        ends = {local: name for local, name in at.items() if local in template.local}
        names = [value.name for value in given]
        renamed = self._renamed(prefix, template, ends)
        found = template.append_to(nodes, prefix, names, renamed)
        known = dict(zip(template.inputs, given, strict=True))
        outputs = {
            local: known.get(local) or Value(name, shape, self.element.code)
            for local, name, shape in zip(
                template.outputs, found, instance.outputs.values(), strict=True
            )
        }
        made = [value for local, value in outputs.items() if local not in known]
        if self.element is not FLOAT32:
            for local, public in ends.items():
                made.append(_cast(nodes, outputs[local], TensorProto.FLOAT, public))
        return tuple(outputs[local] for local in template.outputs), made

    def _renamed(
        self, prefix: str, template: Template, ends: Mapping[str, str]
    ) -> dict[str, str]:
        """Names of values that are others than the unit's own: public ones are kept free."""
        names = {}
        if not prefix:
            names = {n: f"{n}{_INNER}" for n in template.local & self._taken}
        if self.element is FLOAT32:
            names |= ends
        return names

    @cached_property
    def _origins(self) -> dict[str, _Origin | None]:
        """Where each value of the network is made; None: it is the image as it came."""
        network = self.graph.network
        values: dict[str, _Origin | None] = dict.fromkeys(network.block.inputs)
        for row in network.block.rows:
            given = [values[i] for i in row.inputs]
            for prefix, instance, shared in places(row, network.runs[row.name]):
                template = self._templates.of(instance, shared)
                known = dict(zip(template.inputs, given, strict=True))
                given = [
                    known[o] if o in known else _Origin(prefix, o)
                    for o in template.outputs
                ]
            values |= zip(network.values(row), given, strict=True)
        return values

    @cached_property
    def _ends(self) -> dict[_Origin, str]:
        """The first name under which each value is returned, by where it is made."""
        found: dict[_Origin, str] = {}
        for name, value in self.graph.outputs.items():
            if origin := self._origins[value]:
                found.setdefault(origin, name)
        return found

    @cached_property
    def _ends_of(self) -> dict[str, dict[str, str]]:
        """The same by the prefix of what makes it, which the stem and the head share, and what
        the value is called there."""
        found = defaultdict[str, dict[str, str]](dict)
        for (prefix, value), name in self._ends.items():
            found[prefix][value] = name
        return found

    def _rest(self) -> Iterator[Part]:
        """Values that are returned under one more name, or that are the image."""
        for output, value in zip(
            self.outputs, self.graph.outputs.values(), strict=True
        ):
            origin = self._origins[value]
            source = self._ends[origin] if origin else IMAGES
            if source != output.name:
                nodes = GraphProto()
                nodes.node.add(
                    name=f"{output.name}/copy",
                    op_type="Identity",
                    input=[source],
                    output=[output.name],
                )
                given = output._replace(name=source)
                yield Part("", None, nodes, [given], [output])

    # --- size -----------------------------------------------------------------------------

    @cached_property
    def size(self) -> int:
        """Bytes of the model without its numbers, as much as they can be: no depth is walked."""
        network = self.graph.network
        total = int(self.head().ByteSize()) + _ENDS
        total += sum(4 * (len(name) + self._longest) for name in self.graph.outputs)
        for row in network.block.rows:
            runs = network.runs[row.name]
            prefix = row.prefix(sum(run.count for run in runs))
            for run in runs:
                each = sum(self._most(prefix, run, i) for i in run.instances)
                total += each * (run.count // len(run.instances))
        return total

    @cached_property
    def _longest(self) -> int:
        """Letters of a value's name at most."""
        network = self.graph.network
        longest = [_LONGEST, *map(len, self._taken)]
        for row in network.block.rows:
            runs = network.runs[row.name]
            prefix = row.prefix(sum(run.count for run in runs))
            longest += (
                len(prefix) + len(name) + len(_INNER)
                for run in runs
                for instance in run.instances
                for name in self._templates.of(instance, run.each is None).outputs
            )
        return max(longest)

    def _most(self, prefix: str, run: Run, instance: Instance) -> int:
        """Bytes of a unit and its tensors, of which none has a number in it."""
        nodes = GraphProto()
        template = self._templates.of(instance, run.each is None)
        given = ["x" * self._longest for _ in template.inputs]
        template.append_to(nodes, prefix, given)
        size = int(ModelProto(graph=nodes).ByteSize())
        if run.each is not None:  # whose attributes are others in each place
            size += _NUMBERS * len(nodes.node)
        for name, weight in instance.tensors(prefix):
            tensor = external(name, weight, self.element, _FILE, 2**40, 2**40)
            size += ModelProto(graph=GraphProto(initializer=[tensor])).ByteSize()
        return size


_INNER = "/inner"
_LONGEST = 64
"""Letters of a value's name at least, since it may be any."""
_ENDS = 1000
"""Bytes of what makes the first value of the input, and the outputs of the last, and then some."""
_NUMBERS = 100
"""Bytes that a node's numbers may take more in one place than in another."""
_FILE = f"{'x' * _LONGEST}.onnx.data"


def _cast(nodes: GraphProto, value: Value, code: int, name: str = "") -> Value:
    """The value in another type, under this name or one of its own."""
    node = f"{value.name}/cast"
    made = Value(name or node, value.shape, code)
    nodes.node.add(name=node, op_type="Cast", input=[value.name], output=[made.name])
    nodes.node[-1].attribute.append(helper.make_attribute("to", code))
    return made
