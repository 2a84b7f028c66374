"""An ONNX model file that resgraph wrote, opened to be looked into."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from resgraph.diagnostics import ResgraphError, first_line, plain
from resgraph.emit.nodes import CONSTANT
from resgraph.limits import METADATA_CHARACTERS, MODEL_BYTES
from resgraph.reading.models import check_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAME = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""What a network may be called, settings included: safe as the name of a file."""


@dataclass(frozen=True)
class OnnxNode:
    """A node of a model; its attributes as numbers, text and lists of numbers."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a model in any form. Raises `ResgraphError` if it cannot be read."""
    return {p.key: p.value for p in _read(path).metadata_props}


class OnnxFile:
    """The model, with its weights in memory."""

    def __init__(self, path: Path) -> None:
        """Read the file, and the weights beside it where it has them there.

        Raises `ResgraphError` if it is missing, damaged, not from resgraph, or in another
        form than the portable one.
        """
        self.path = path
        self._model = _read(path)
        self.metadata: Mapping[str, str] = {
            p.key: p.value for p in self._model.metadata_props
        }
        if not {"resgraph.network", "resgraph.digest"} <= self.metadata.keys():
            raise ResgraphError(
                f"{plain(path)} is an ONNX model, but not one of resgraph's: it names no graph",
                "only models from 'resgraph compile' and 'resgraph export' have a spec to "
                "be verified against",
            )
        if not _NAME.fullmatch(network := self.metadata["resgraph.network"]):
            raise ResgraphError(
                f"{plain(path)} says that its network is '{plain(network)}', which no "
                "network is called",
                "another tool has changed it: compile or export it anew",
            )
        keys = ("resgraph.target", "resgraph.form")
        if marks := [self.metadata[key] for key in keys if key in self.metadata]:
            raise ResgraphError(
                f"{plain(path)} is a network's {plain(' '.join(marks))} form, whose nodes and tensors "
                "are not one by one the spec's",
                "verify the portable model, which it was made of: resgraph export RUN",
            )

        self.outputs: Sequence[str] = [v.name for v in self._model.graph.output]

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The tensors of the state_dict by name; constants are not among them."""
        return {n: t for n, t in self._tensors() if not _is_constant(n)}

    def constants(self) -> dict[str, NDArray[Any]]:
        """The other tensors that stand in the file."""
        return {n: t for n, t in self._tensors() if _is_constant(n)}

    def _tensors(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for tensor in self._model.graph.initializer:
            yield tensor.name, numpy_helper.to_array(tensor)

    def nodes(self) -> list[OnnxNode]:
        """In the order of the file, which is that of computing."""
        return [
            OnnxNode(
                node.op_type,
                node.name,
                tuple(node.input),
                tuple(node.output),
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in self._model.graph.node
        ]

    def shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The shape of every value at a batch size, as far as ONNX infers it."""
        model = self._copied()
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
        del model.graph.output[:]
        inferred = onnx.shape_inference.infer_shapes(model)
        values = [*inferred.graph.input, *inferred.graph.value_info]
        return {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in values
        }

    def in_float64(self, images: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The outputs by ONNX's own reference evaluator, all of it in float64.

        Raises `ResgraphError` where that cannot run the model.
        """
        from onnx.reference import ReferenceEvaluator

        model = self._copied()
        _widen(model)
        try:
            found = ReferenceEvaluator(model).run([*self.outputs], {"input": images})
        except Exception as error:  # whatever the evaluator's ops raise
            raise ResgraphError(
                f"ONNX's reference evaluator cannot run {plain(self.path)}: "
                f"{plain(first_line(error))}"
            ) from None
        pairs = zip(self.outputs, found, strict=True)
        return {name: np.asarray(value, dtype=np.float64) for name, value in pairs}

    def _copied(self) -> ModelProto:
        model = ModelProto()
        model.CopyFrom(self._model)
        return model

    def exposing(self, names: Sequence[str]) -> tuple[bytes, dict[str, str]]:
        """The model with the results of these nodes as outputs too, and what they are called
        there, of those that it has."""
        model = self._copied()
        made = {node.name: node.output[0] for node in model.graph.node}
        found = {name: made[name] for name in names if name in made}
        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in dict.fromkeys(found.values())
            if name not in self.outputs
        )
        return model.SerializeToString(), found


def _is_constant(name: str) -> bool:
    """Whether it names no tensor of a state_dict, each of which is a layer's: `conv.weight`."""
    return name.startswith(f"{CONSTANT}/") or "." not in name


def _widen(model: ModelProto) -> None:
    """Make float64 of every float32 of a model, in place."""
    tensors = [*model.graph.initializer]
    tensors += [a.t for n in model.graph.node for a in n.attribute if a.HasField("t")]
    for tensor in tensors:
        if tensor.data_type == TensorProto.FLOAT:
            wide = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE


def _read(path: Path) -> ModelProto:
    if not path.exists():
        raise ResgraphError(f"no model {path}", "write it first: resgraph compile SPEC")
    _refuse_too_large(path)
    check_model(path)
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(str(path))
        _decode(model)
    except Exception as error:  # protobuf's errors have no stable home
        why = plain(first_line(error))
        raise ResgraphError(
            f"{plain(path)} is not an ONNX model, or not a whole one: {why}",
            "it is truncated, or its .data file is missing: compile or export it anew",
        ) from None
    if not model.graph.node:
        raise ResgraphError(f"{plain(path)} is no ONNX model: it has no nodes")
    return model


def _refuse_too_large(path: Path) -> None:
    """Changed copies of the model go to ONNX's own tools, with its weights in them."""
    files = (path, path.with_name(f"{path.name}.data"))
    size = sum(file.stat().st_size for file in files if file.is_file())
    if size > MODEL_BYTES:
        raise ResgraphError(
            f"{path} takes {size / 1e9:,.1f} GB with its weights, and can be looked into "
            f"up to {MODEL_BYTES / 1e9:,.1f} GB (protobuf's limit)",
            "verify the spec instead, or the network at a smaller size",
        )


def _decode(model: ModelProto) -> None:
    """Read all texts and numbers once. Raises `ValueError` for those that are none.

    Protobuf leaves text undecoded until it is asked for, and onnx's checker looks at no
    tensor's numbers.
    """
    for pair in model.metadata_props:
        if len(pair.key) + len(pair.value) > METADATA_CHARACTERS:
            raise ValueError(f"its metadata '{pair.key}' are too long")
    for node in model.graph.node:
        "".join((node.op_type, node.name, *node.input, *node.output))
        for attribute in node.attribute:
            onnx.helper.get_attribute_value(attribute)
    for tensor in model.graph.initializer:
        numpy_helper.to_array(tensor)
