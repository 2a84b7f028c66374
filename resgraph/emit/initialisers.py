"""The weights of a model, written one by one behind its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from onnx import GraphProto, ModelProto, TensorProto

from resgraph.emit.element import Element
from resgraph.emit.weights import WeightSource
from resgraph.graph import Graph
from resgraph.ops import Weight


def tensors(graph: Graph) -> Iterator[tuple[str, Weight]]:
    """Every tensor of the state_dict with its full name, in order."""
    for prefix, instance in graph.parts():
        for layer, weight in instance.weights:
            yield f"{prefix}{layer}.{weight.name}", weight


def append_inline(
    stream: BinaryIO, graph: Graph, weights: WeightSource, element: Element
) -> None:
    """Write the numbers into the model itself."""
    for name, weight in tensors(graph):
        raw = element.raw(name, weights(name, weight))
        tensor = TensorProto(name=name, data_type=element.code, dims=weight.shape)
        tensor.raw_data = raw
        _append(stream, tensor)


def append_external(
    stream: BinaryIO,
    graph: Graph,
    weights: WeightSource,
    element: Element,
    data: BinaryIO,
) -> None:
    """Write the numbers to `data`, and to the model where they stand in it."""
    offset = 0
    for name, weight in tensors(graph):
        raw = element.raw(name, weights(name, weight))
        tensor = TensorProto(name=name, data_type=element.code, dims=weight.shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": Path(data.name).name, "offset": offset, "length": len(raw)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        _append(stream, tensor)
        data.write(raw)
        offset += len(raw)


def _append(stream: BinaryIO, tensor: TensorProto) -> None:
    """Add an initialiser to the model in `stream` without holding the others in memory.

    Serialised protobuf messages merge when they follow one another: that is part of the
    format, and what makes one pass over the weights enough.
    """
    part = ModelProto(graph=GraphProto(initializer=[tensor]))
    stream.write(part.SerializeToString())
