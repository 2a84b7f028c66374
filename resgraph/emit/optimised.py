"""A model as onnxruntime has it after its own optimisations, saved to start sooner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto


def optimise(model: Path, out: Path, metadata: Mapping[str, str]) -> None:
    """Write `model`, optimised for this CPU, to `out`.

    Its layouts are those of this CPU and this onnxruntime, which `metadata` should tell: it
    is added to the model's own.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"]
    )
    made = onnx.load(out, load_external_data=False)
    plain = onnx.load(model, load_external_data=False)
    settle(made, _names(plain.graph))
    added = ModelProto()
    for key, value in metadata.items():
        added.metadata_props.add(key=key, value=value)
    with out.open("wb") as stream:  # serialised messages that follow one another merge
        stream.write(made.SerializeToString(deterministic=True))
        stream.write(added.SerializeToString())


def settle(model: ModelProto, known: set[str]) -> None:
    """Give nodes and values the order and the names that the model's structure decides.

    onnxruntime numbers what it adds by where it lies in memory, otherwise in every process.
    Values keep the names that are `known`; a node is called by its first output.
    """
    graph = model.graph
    nodes = [*_from_outputs(graph)]
    names = _settled(nodes, known)
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = node.output[0]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    tensors = sorted(graph.initializer, key=lambda tensor: tensor.name)
    _replace(graph.node, nodes)
    _replace(graph.initializer, tensors)
    del graph.value_info[:]  # which onnxruntime infers again
    _replace(model.opset_import, sorted(model.opset_import, key=lambda o: o.domain))
    _replace(model.metadata_props, sorted(model.metadata_props, key=lambda p: p.key))


def _from_outputs(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes, each behind those that it reads, in the order of its inputs."""
    makers = {name: node for node in graph.node for name in node.output}
    waiting = [(o.name, False) for o in reversed(graph.output)]
    done: set[int] = set()
    while waiting:
        name, read = waiting.pop()
        node = makers.get(name)
        if node is None or id(node) in done:
            continue
        if read:
            done.add(id(node))
            yield node
        else:
            waiting.append((name, True))
            waiting += [(given, False) for given in reversed(node.input)]


def _settled(nodes: list[NodeProto], known: set[str]) -> dict[str, str]:
    """New names, in the order in which the old ones are first met."""
    met = dict.fromkeys(name for n in nodes for name in (*n.input, *n.output) if name)
    added = [name for name in met if name not in known]
    return {name: f"optimised_{number}" for number, name in enumerate(added)}


def _names(graph: GraphProto) -> set[str]:
    """Of all values and tensors."""
    made = {name for node in graph.node for name in node.output}
    given = {value.name for value in (*graph.input, *graph.initializer)}
    return made | given


def _replace(field: Any, items: list[Any]) -> None:
    """Fill a repeated field of a message anew; `items` may be its own."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
