"""Programs made by chance: what is proved of them holds along all paths of the flat network."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
from hypothesis import HealthCheck, given, settings

from resgraph.diff import compare
from resgraph.diff.form import as_json
from resgraph.diff.report import report
from resgraph.graph import Graph
from resgraph.graph.dag import Ops
from resgraph.ops import Role
from resgraph.prove import prove
from resgraph.prove.depth import depths
from resgraph.prove.routes import Routes
from tests.helpers import graph_from
from tests.programs import programs

settled = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def flat(graph: Graph) -> nx.DiGraph:
    """The whole network's ops, each with its weight layers, gates left out."""
    routes = Routes.through(graph.network)
    view: nx.DiGraph = nx.DiGraph()
    view.add_nodes_from(routes.inputs)
    for name, node in routes.nodes.items():
        own = int(node.op.role is Role.WEIGHT)
        view.add_weighted_edges_from((i, name, own) for i in routes.values(name))
    return view


@settled
@given(programs())
def test_depth_is_that_of_the_longest_path(tmp_path: Path, text: str) -> None:
    """Of the flat network, where gates within units are gates."""
    graph = graph_from(text, tmp_path)
    assert prove(graph)
    view, found = flat(graph), depths(graph)
    for name, value in Ops.of(graph.network.flat.block).results.items():
        above = view.subgraph(nx.ancestors(view, value) | {value})
        assert found[name].total <= nx.dag_longest_path_length(above, default_weight=0)


@settled
@given(programs(), programs())
def test_a_network_is_itself_and_differences_mirror(
    tmp_path: Path, one: str, two: str
) -> None:
    a, b = graph_from(one, tmp_path), graph_from(two, tmp_path)
    assert compare(a, graph_from(one, tmp_path)).same
    there, back = compare(a, b), compare(b, a)
    assert there.same == back.same
    assert [*report(there)]
    assert as_json(there)["same"] == there.same
    count = len(there.pairs)
    assert count == len(back.pairs)
