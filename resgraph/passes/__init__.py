"""From a spec's program to what is emitted, by passes of one form (`base.py`).

Those for inference, over a network and its weights, stand in `deploy.py`: they need numpy.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from resgraph.diagnostics import Diagnostic
from resgraph.graph import Graph, Program
from resgraph.graph.uses import Uses
from resgraph.passes.base import Fact, Pass, Watch, check, run
from resgraph.passes.left_out import check_left_out
from resgraph.passes.names import check_names
from resgraph.passes.shapes import infer_shapes
from resgraph.passes.size import check_size
from resgraph.passes.topology import check_topology


def analysis(uses: Uses) -> tuple[Pass[Any, Any, Diagnostic], ...]:
    """What every spec goes through, a draft with findings as well; `uses` are its names'."""
    return (
        check("names", partial(check_names, uses=uses)),
        check(
            "topology",
            partial(check_topology, uses=uses),
            gives=frozenset({Fact.CHECKED}),
        ),
        Pass(
            "shapes",
            partial(infer_shapes, uses=uses),
            needs=frozenset({Fact.CHECKED}),
            gives=frozenset({Fact.SHAPES}),
        ),
        check(
            "size",
            check_size,
            needs=frozenset({Fact.SHAPES}),
            gives=frozenset({Fact.SIZED}),
        ),
        check("left out", check_left_out, needs=frozenset({Fact.SHAPES})),
    )


def analyse(
    program: Program, earlier: Iterable[Diagnostic], watch: Watch | None = None
) -> tuple[Graph, list[Diagnostic]]:
    """Run them all: the graph, and all findings, the earlier ones among them.

    None tells what follows from an earlier finding: what that leaves unknown is unknown in
    the program.
    """
    passes = analysis(Uses.within(program))
    graph, findings = run(passes, program, watch=watch)
    assert isinstance(graph, Graph)
    return graph, [*earlier, *findings]
