"""Units as networkx graphs, for whatever is a question about graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resgraph.graph.ir import INPUT, Unit

if TYPE_CHECKING:
    import networkx as nx


def unit_graph(unit: Unit) -> nx.DiGraph[str]:
    """The unit's values as nodes (`x` and each op's), an edge where an op reads a value.

    Each node but `x` carries `path` and `node`; a value that nothing defines has no node.
    """
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph(name=unit.name)
    graph.add_node(INPUT)
    for path, node, _ in unit.steps():
        graph.add_node(node.name, path=path, node=node)
    for _, node, inputs in unit.steps():
        graph.add_edges_from((i, node.name) for i in inputs if i in graph)
    return graph
