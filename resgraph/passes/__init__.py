"""The passes, one plain function each, and the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable

from resgraph.diagnostics import Diagnostic
from resgraph.graph import Graph, Program
from resgraph.graph.uses import Uses
from resgraph.passes.names import check_names
from resgraph.passes.shapes import infer_shapes
from resgraph.passes.size import check_size
from resgraph.passes.topology import check_topology

CHECKS = (check_names, check_topology)
TYPED_CHECKS = (check_size,)


def analyse(
    program: Program, earlier: Iterable[Diagnostic]
) -> tuple[Graph, list[Diagnostic]]:
    """Run every pass: the graph, and all findings, the earlier ones among them.

    A pass may find anything from a note to an error. None tells what follows from an
    earlier finding: what that leaves unknown is unknown in the program.
    """
    findings, uses = [*earlier], Uses.within(program)
    for check in CHECKS:
        findings += check(program, uses)
    graph, found = infer_shapes(program, uses)
    findings += found
    for typed_check in TYPED_CHECKS:
        findings += typed_check(graph)
    return graph, findings
