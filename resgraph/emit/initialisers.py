"""The weights of a model, written one by one behind the nodes that read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from onnx import GraphProto, ModelProto, TensorProto

from resgraph.emit.element import Element
from resgraph.emit.weights import WeightSource
from resgraph.graph import Instance
from resgraph.ops import Weight


def external(
    name: str, weight: Weight, element: Element, file: str, offset: int, length: int
) -> TensorProto:
    """A tensor whose numbers stand in a file beside the model."""
    tensor = TensorProto(name=name, data_type=element.code, dims=weight.shape)
    tensor.data_location = TensorProto.EXTERNAL
    place = {"location": file, "offset": offset, "length": length}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@dataclass
class Initialisers:
    """Writes weights to a model: the numbers into `data` where there is such a file."""

    model: BinaryIO
    weights: WeightSource
    element: Element
    data: BinaryIO | None = None
    offset: int = 0

    def append(self, prefix: str, instance: Instance) -> None:
        """Add the unit's weights to the model, one after the other."""
        for name, weight in instance.tensors(prefix):
            raw = self.element.raw(name, self.weights(name, weight))
            tensor = self._placed(name, weight, raw)
            append(self.model, GraphProto(initializer=[tensor]))

    def _placed(self, name: str, weight: Weight, raw: bytes) -> TensorProto:
        if self.data is None:
            tensor = TensorProto(
                name=name, data_type=self.element.code, dims=weight.shape
            )
            tensor.raw_data = raw
            return tensor
        place = (Path(self.data.name).name, self.offset, len(raw))
        self.data.write(raw)
        self.offset += len(raw)
        return external(name, weight, self.element, *place)


def append(stream: BinaryIO, part: GraphProto) -> None:
    """Add nodes or tensors to the graph of the model in `stream`.

    Serialised protobuf messages merge when they follow one another: that is part of the
    format, and what makes one pass over the depth enough.
    """
    stream.write(ModelProto(graph=part).SerializeToString())
