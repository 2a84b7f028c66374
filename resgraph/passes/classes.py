"""The same network for another number of classes: its last layer with weights is another."""

from __future__ import annotations

from dataclasses import replace

from resgraph.graph import HEAD, Graph, Node
from resgraph.graph.uses import Uses
from resgraph.ops import Role
from resgraph.passes.shapes import infer_shapes


def classifier(graph: Graph) -> tuple[str, ...]:
    """The tensors of the layer that tells the classes apart, the head's last with weights;
    none where no layer of the head has one output for each class."""
    node, head = _classifier(graph), graph.head
    if node is None or head is None:
        return ()
    return tuple(
        f"{layer}.{weight.name}" for layer, weight in head.weights if layer == node.name
    )


def with_classes(graph: Graph, classes: int) -> Graph | None:
    """The graph, typed, with that many classes; None where it cannot have other ones."""
    node = _classifier(graph)
    if node is None:
        return None
    program = graph.program
    head = program.ends[HEAD]
    nodes = tuple(
        replace(n, op=n.op.having({_width(node): classes}))
        if isinstance(n, Node) and n.name == node.name
        else n
        for n in head.nodes
    )
    told = None if program.classes is None else classes
    other = replace(program.with_head(replace(head, nodes=nodes)), classes=told)
    typed, findings = infer_shapes(other, Uses.within(other))
    return None if findings else typed


def _classifier(graph: Graph) -> Node | None:
    if graph.head is None:
        return None
    nodes = [node for node in graph.head.block.ops if node.op.role is Role.WEIGHT]
    output = graph.head.output
    if not nodes or len(output) != 1 or not (width := _width(nodes[-1])):
        return None
    return nodes[-1] if getattr(nodes[-1].op, width) == output[0] else None


def _width(node: Node) -> str:
    """The attribute of an op that is the width of its output."""
    for name in ("features", "channels"):
        if name in node.op.attributes():
            return name
    return ""
