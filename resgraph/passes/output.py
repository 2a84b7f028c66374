"""Check that the network ends in one vector of logits."""

from __future__ import annotations

from resgraph import codes
from resgraph.diagnostics import Diagnostic
from resgraph.graph import Graph


def check_output(graph: Graph) -> list[Diagnostic]:
    """A finding where the head's output is no vector, or not of `classes` numbers."""
    shape = graph.typed(graph.head_run).output
    span = graph.head.paths[-1].nodes[-1].span
    if len(shape) != 1:
        return [
            Diagnostic(
                codes.WRONG_OUTPUT,
                f"the network ends in the map {list(shape)}, and must end in a vector of logits",
                span,
                "end the head with global_avg_pool, linear: {features: classes}",
            )
        ]
    if graph.classes not in (None, shape[0]):
        message = (
            f"the network ends in {shape[0]} logits, and classes = {graph.classes}"
        )
        hint = "linear: {features: classes} ends the head"
        return [Diagnostic(codes.WRONG_OUTPUT, message, span, hint)]
    return []
