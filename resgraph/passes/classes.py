"""Which output of a network tells classes apart, and the network for another number of them:
its last layer with weights is another."""

from __future__ import annotations

from dataclasses import replace

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Span
from resgraph.graph import HEAD, Graph, Node
from resgraph.graph.dag import maker
from resgraph.graph.uses import Uses
from resgraph.ops import Role
from resgraph.outputs import LOGITS, classifying
from resgraph.passes.shapes import infer_shapes


def unclassified(graph: Graph) -> Diagnostic | None:
    """A finding where none of the outputs is the logits that training as a classifier needs.

    To compile such a network is right, and so it is no finding of the spec.
    """
    shapes = graph.network.outputs
    if classifying({name: len(shape) == 1 for name, shape in shapes.items()}):
        return None
    if len(shapes) == 1:
        (shape,) = shapes.values()
        kind = "tokens" if len(shape) == 2 else "the map"
        message = f"the network ends in {kind} {[*shape]}, and training needs logits"
        hint = "end the head with global_avg_pool, linear: {features: classes}"
    else:
        told = ", ".join(f"{name} {[*shape]}" for name, shape in shapes.items())
        message = f"of the outputs {told} none is the logits that training needs"
        hint = f"call one {LOGITS[0]}, which a linear layer ends, as in outputs: "
        hint += f"{{{LOGITS[0]}: head}}"
    return Diagnostic(codes.WRONG_OUTPUT, message, _end(graph), hint)


def _end(graph: Graph) -> Span:
    """Where the network's first output is written: the head's last op, or what names it."""
    block, ends = graph.network.block, graph.program.ends
    if block.output == HEAD and ends[HEAD].nodes:
        return ends[HEAD].nodes[-1].span
    rows = {row.name: row.span for row in block.rows}
    written = block.returned_spans if block.returned else ()
    return (*written, rows.get(maker(block.output, rows), graph.span))[0]


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
