"""The passes, one plain function each, and the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable

from resgraph.diagnostics import Diagnostic, broken
from resgraph.graph import Graph
from resgraph.passes.names import check_names
from resgraph.passes.output import check_output
from resgraph.passes.shapes import infer_shapes
from resgraph.passes.topology import check_topology

SYMBOLIC_CHECKS = (check_names, check_topology)
TRANSFORMS = (infer_shapes,)
TYPED_CHECKS = (check_output,)


def analyse(
    graph: Graph, earlier: Iterable[Diagnostic]
) -> tuple[Graph, list[Diagnostic]]:
    """Run every pass: the graph, and all findings, the earlier ones among them.

    A pass may find anything from a note to an error. Shapes are inferred only for a graph
    without errors: theirs would follow from those.
    """
    findings = [*earlier]
    for check in SYMBOLIC_CHECKS:
        findings += check(graph)
    for transform in TRANSFORMS:
        if broken(findings):
            return graph, findings
        graph, found = transform(graph)
        findings += found
    if not broken(findings):
        findings += [finding for check in TYPED_CHECKS for finding in check(graph)]
    return graph, findings
