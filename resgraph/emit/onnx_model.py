"""A graph as an ONNX model, straight from the IR: no tracing, no torch.

Each distinct unit instance becomes a list of node templates once; walking the depth then
only prefixes names. Node, value and tensor names are those of the graph and state_dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import onnx
import onnx.printer
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from resgraph import __version__
from resgraph.diagnostics import ResgraphError, visible
from resgraph.emit.weights import WeightSource
from resgraph.graph import INPUT, Graph, Instance, digest
from resgraph.ops import Shape, Weight

OPSET = 20
IR_VERSION = 9
INLINE_BYTES = 2_000_000_000
"""Protobuf ends at 2 GiB: beyond this the weights go to a file beside the model."""


def write_onnx(
    graph: Graph,
    path: Path,
    weights: WeightSource,
    metadata: Mapping[str, str] | None = None,
    inline_bytes: int = INLINE_BYTES,
) -> list[Path]:
    """Write the model to `path` and check it in full, with strict shape inference.

    Input `input` is float32 [N, C, H, W] with N free, output `logits` is [N, classes].
    Returns the files written: the model, and `path` + `.data` where the weights exceed
    `inline_bytes`. Raises `ResgraphError` where the model would not pass the checker.
    """
    files = [path]
    with path.open("wb") as stream:
        stream.write(_model(graph, metadata or {}).SerializeToString())
        if 4 * graph.total("numbers") <= inline_bytes:
            _append_inline(stream, graph, weights)
        else:
            files.append(path.with_name(f"{path.name}.data"))
            with files[1].open("wb") as data:
                _append_external(stream, graph, weights, data)
    _check(path)
    return files


def onnx_text(graph: Graph) -> str:
    """The model's nodes in ONNX's own text syntax, without weights."""
    return str(onnx.printer.to_text(_model(graph, {}))) + "\n"


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ResgraphError(
            f"the ONNX model of {path.stem} does not pass onnx.checker: {error}",
            "this is a fault of resgraph's emitter, not of the spec: please report it",
        ) from None


# --- the model ------------------------------------------------------------------------


def _model(graph: Graph, metadata: Mapping[str, str]) -> ModelProto:
    model = ModelProto(
        ir_version=IR_VERSION,
        producer_name="resgraph",
        producer_version=__version__,
        doc_string=visible(graph.title),
    )
    model.opset_import.add(domain="", version=OPSET)
    own = {"resgraph.network": graph.name, "resgraph.digest": digest(graph)}
    for key, value in (own | dict(metadata)).items():
        model.metadata_props.add(key=key, value=value)
    model.graph.name = graph.name
    _nodes(model.graph, graph)
    shape = graph.typed(graph.head_run).output
    model.graph.input.append(_value("input", graph.input))
    model.graph.output.append(_value("logits", shape))
    return model


def _value(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


def _nodes(proto: GraphProto, graph: Graph) -> None:
    constants = _Constants(proto)
    templates: dict[int, _Template] = {}
    value = "input"
    for prefix, instance in graph.parts():
        template = templates.get(id(instance))
        if template is None:
            template = templates[id(instance)] = _template(instance, constants)
        value = template.append_to(proto, prefix, value)
    _end_in(proto, value)


def _end_in(proto: GraphProto, value: str) -> None:
    """Give the last value the public name `logits`."""
    if proto.node and list(proto.node[-1].output) == [value]:
        proto.node[-1].output[0] = "logits"
    else:
        proto.node.add(
            name="logits", op_type="Identity", input=[value], output=["logits"]
        )


@dataclass
class _Template:
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


def _template(instance: Instance, constants: _Constants) -> _Template:
    values = {INPUT: INPUT}
    nodes: list[tuple[NodeProto, list[str], str]] = []
    local: set[str] = set()
    for _, node, inputs in instance.unit.steps():
        builder = _NodeBuilder(node.name, nodes, local, constants)
        shapes = [instance.shapes[i] for i in inputs]
        result = node.op.onnx(builder, *(values[i] for i in inputs), shapes=shapes)
        values[node.name] = builder.name_last(result)
    return _Template(nodes, local, values[instance.unit.output])


@dataclass
class _NodeBuilder:
    """What an op writes its nodes to (`resgraph.ops.OnnxBuilder`)."""

    name: str
    nodes: list[tuple[NodeProto, list[str], str]]
    local: set[str]
    constants: _Constants
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
        template, inputs, output = self.nodes[-1]
        self.nodes[-1] = (template, inputs, self.name)
        self.local.discard(output)
        self.local.add(self.name)
        return self.name

    def weight(self, name: str) -> str:
        full = f"{self.name}.{name}"
        self.local.add(full)
        return full

    def ints(self, *values: int) -> str:
        return self.constants.add(TensorProto.INT64, values)

    def scalar(self, value: float) -> str:
        return self.constants.add(TensorProto.FLOAT, (value,))


@dataclass
class _Constants:
    """Small tensors that are no weights, each stored once."""

    proto: GraphProto
    known: dict[tuple[int, tuple[float, ...]], str] = field(default_factory=dict)

    def add(self, kind: int, values: Sequence[float]) -> str:
        key = (kind, tuple(values))
        if key not in self.known:
            name = f"constant/{len(self.known)}"
            dims = [] if kind == TensorProto.FLOAT else [len(values)]
            tensor = helper.make_tensor(name, kind, dims, list(values))
            self.proto.initializer.append(tensor)
            self.known[key] = name
        return self.known[key]


# --- the weights ------------------------------------------------------------------------


def _tensors(graph: Graph) -> Iterator[tuple[str, Weight]]:
    """Every tensor of the state_dict with its full name, in order."""
    for prefix, instance in graph.parts():
        for layer, weight in instance.weights:
            yield f"{prefix}{layer}.{weight.name}", weight


def _append(stream: BinaryIO, tensor: TensorProto) -> None:
    """Add an initialiser to the model in `stream` without holding the others in memory.

    Serialised protobuf messages merge when they follow one another: that is part of the
    format, and what makes one pass over the weights enough.
    """
    part = ModelProto(graph=GraphProto(initializer=[tensor]))
    stream.write(part.SerializeToString())


def _append_inline(stream: BinaryIO, graph: Graph, weights: WeightSource) -> None:
    for name, weight in _tensors(graph):
        raw = weights(name, weight).tobytes()
        float32 = TensorProto.FLOAT
        _append(
            stream,
            TensorProto(name=name, data_type=float32, dims=weight.shape, raw_data=raw),
        )


def _append_external(
    stream: BinaryIO, graph: Graph, weights: WeightSource, data: BinaryIO
) -> None:
    """Write the numbers to `data`, and to the model where they stand in it."""
    offset = 0
    for name, weight in _tensors(graph):
        raw = weights(name, weight).tobytes()
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=weight.shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": Path(data.name).name, "offset": offset, "length": len(raw)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        _append(stream, tensor)
        data.write(raw)
        offset += len(raw)
