"""Check that the network ends in one vector of logits."""

from __future__ import annotations

from resgraph import codes
from resgraph.diagnostics import Diagnostic
from resgraph.graph import Graph
from resgraph.ops import Shape
from resgraph.passes.sides import Shapes


def check_output(graph: Graph, shapes: Shapes) -> list[Diagnostic]:
    """A finding where the head's output is no vector, or not of `classes` numbers.

    `shapes` are those that it may have; one of them that is right is enough.
    """
    found = [_check(graph, shape) for shape in shapes]
    return [] if [] in found else found[0]


def _check(graph: Graph, shape: Shape) -> list[Diagnostic]:
    span = graph.head.paths[-1].nodes[-1].span
    if len(shape) != 1:
        message = f"the network ends in the map {list(shape)}, and must end in a vector of logits"
        hint = "end the head with global_avg_pool, linear: {features: classes}"
        return [Diagnostic(codes.WRONG_OUTPUT, message, span, hint)]
    if graph.classes is not None and shape[0] != graph.classes:
        message = (
            f"the network ends in {shape[0]} logits, and classes = {graph.classes}"
        )
        hint = "linear: {features: classes} ends the head"
        return [Diagnostic(codes.WRONG_OUTPUT, message, span, hint)]
    return []
