"""The same network for another number of classes: its last layer with weights is another."""

from __future__ import annotations

from dataclasses import replace

from resgraph.graph import Graph
from resgraph.graph.ir import Node
from resgraph.ops import Role
from resgraph.passes.shapes import infer_shapes


def classifier(graph: Graph) -> tuple[str, ...]:
    """The tensors of the layer that tells the classes apart, the head's last with weights;
    none where no layer of the head has one output for each class."""
    node = _classifier(graph)
    if node is None:
        return ()
    head = graph.typed(graph.head_run)
    return tuple(
        f"{layer}.{weight.name}" for layer, weight in head.weights if layer == node.name
    )


def with_classes(graph: Graph, classes: int) -> Graph | None:
    """The graph, typed, with that many classes; None where it cannot have other ones."""
    node = _classifier(graph)
    if node is None:
        return None
    width = _width(node)
    other = replace(node, op=node.op.having({width: classes}))
    paths = tuple(
        replace(path, nodes=tuple(other if n is node else n for n in path.nodes))
        for path in graph.head.paths
    )
    head = replace(graph.head, paths=paths)
    told = None if graph.classes is None else classes
    typed, findings = infer_shapes(replace(graph, head=head, classes=told))
    return None if findings else typed


def _classifier(graph: Graph) -> Node | None:
    nodes = [node for _, node, _ in graph.head.steps() if node.op.role is Role.WEIGHT]
    outputs = graph.typed(graph.head_run).output
    if not nodes or len(outputs) != 1 or not (width := _width(nodes[-1])):
        return None
    return nodes[-1] if getattr(nodes[-1].op, width) == outputs[0] else None


def _width(node: Node) -> str:
    """The attribute of an op that is the width of its output."""
    for name in ("features", "channels"):
        if name in node.op.attributes():
            return name
    return ""
