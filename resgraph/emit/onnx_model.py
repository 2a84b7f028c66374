"""A graph as an ONNX model, straight from the IR: no tracing, no torch.

Each distinct unit instance becomes a list of node templates once; walking the depth then
only prefixes names. Node, value and tensor names are those of the graph and state_dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx.printer
from onnx import GraphProto, ModelProto, TensorProto, helper

from resgraph import __version__
from resgraph.diagnostics import ResgraphError, visible
from resgraph.emit.element import FLOAT32, Element
from resgraph.emit.functions import DOMAIN, Functions
from resgraph.emit.initialisers import append_external, append_inline
from resgraph.emit.nodes import Constants, Template, template_of
from resgraph.emit.weights import WeightSource
from resgraph.graph import Graph, digest
from resgraph.ops import Shape

OPSET = FLOAT32.opset
INLINE_BYTES = 2_000_000_000
"""Protobuf ends at 2 GiB: beyond this the weights go to a file beside the model."""
INPUT, LOGITS = "input", "logits"


def write_onnx(
    graph: Graph,
    path: Path,
    weights: WeightSource,
    metadata: Mapping[str, str] | None = None,
    inline_bytes: int = INLINE_BYTES,
    *,
    element: Element = FLOAT32,
    functions: bool = False,
) -> list[Path]:
    """Write the model to `path` and check it in full, with strict shape inference.

    Input `input` is float32 [N, C, H, W] with N free, output `logits` is float32
    [N, classes]; between them everything is of type `element`. With `functions` each
    distinct unit is a function of the model. Returns the files written: the model, and
    `path` + `.data` where the weights exceed `inline_bytes`. Raises `ResgraphError` where
    the model would not pass the checker, or a weight does not fit the type.
    """
    files = [path]
    model = _model(graph, metadata or {}, element, functions)
    with path.open("wb") as stream:
        stream.write(model.SerializeToString())
        if element.size * graph.total("numbers") <= inline_bytes:
            append_inline(stream, graph, weights, element)
        else:
            files.append(path.with_name(f"{path.name}.data"))
            with files[1].open("wb") as data:
                append_external(stream, graph, weights, element, data)
    _check(path)
    return files


def onnx_text(graph: Graph) -> str:
    """The model's nodes in ONNX's own text syntax, without weights."""
    return str(onnx.printer.to_text(_model(graph, {}, FLOAT32, False))) + "\n"


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ResgraphError(
            f"the ONNX model of {path.stem} does not pass onnx.checker: {error}",
            "this is a fault of resgraph's emitter, not of the spec: please report it",
        ) from None


# --- the model ------------------------------------------------------------------------


def _model(
    graph: Graph, metadata: Mapping[str, str], element: Element, functions: bool
) -> ModelProto:
    model = ModelProto(
        ir_version=element.ir_version,
        producer_name="resgraph",
        producer_version=__version__,
        doc_string=visible(graph.title),
    )
    model.opset_import.add(domain="", version=element.opset)
    own = {"resgraph.network": graph.name, "resgraph.digest": digest(graph)}
    for key, value in (own | dict(metadata)).items():
        model.metadata_props.add(key=key, value=value)
    model.graph.name = graph.name
    value = INPUT if element is FLOAT32 else _cast(model.graph, INPUT, element.code)
    if functions:
        model.opset_import.add(domain=DOMAIN, version=1)
        made = Functions(element)
        for prefix, instance in graph.parts():
            value = made.call(model.graph, prefix, instance, value)
        model.functions.extend(made.protos)
    else:
        value = _nodes(model.graph, graph, element, value)
    _end_in(model.graph, value, element)
    shape = graph.typed(graph.head_run).output
    model.graph.input.append(_value(INPUT, graph.input))
    model.graph.output.append(_value(LOGITS, shape))
    return model


def _value(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


def _nodes(proto: GraphProto, graph: Graph, element: Element, value: str) -> str:
    """Append the nodes of all places, from `value` on; the last value."""
    constants = Constants(element)
    templates: dict[int, Template] = {}
    for prefix, instance in graph.parts():
        template = templates.get(id(instance))
        if template is None:
            template = templates[id(instance)] = template_of(instance, constants)
        value = template.append_to(proto, prefix, value)
    proto.initializer.extend(constants.tensors.values())
    return value


def _cast(proto: GraphProto, value: str, code: int) -> str:
    name = f"{value}/cast"
    proto.node.add(name=name, op_type="Cast", input=[value], output=[name])
    proto.node[-1].attribute.append(helper.make_attribute("to", code))
    return name


def _end_in(proto: GraphProto, value: str, element: Element) -> None:
    """Give the last value the public name `logits`, in float32."""
    if element is not FLOAT32:
        value = _cast(proto, value, TensorProto.FLOAT)
    if proto.node and list(proto.node[-1].output) == [value]:
        proto.node[-1].output[0] = LOGITS
    else:
        proto.node.add(name=LOGITS, op_type="Identity", input=[value], output=[LOGITS])
