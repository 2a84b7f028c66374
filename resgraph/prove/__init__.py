"""Graph-theoretic findings about a network's topology, in the terms of He et al. 2016."""

from __future__ import annotations

from resgraph.graph import Graph
from resgraph.prove.depth import depth
from resgraph.prove.field import receptive_field
from resgraph.prove.finding import Finding, Level, Topic
from resgraph.prove.gradient import gradient
from resgraph.prove.identity import identity_path
from resgraph.prove.mistakes import mistakes
from resgraph.prove.parts import Parts, decompose
from resgraph.prove.sites import taken_apart, units, units_of

__all__ = ["Finding", "Level", "Parts", "Topic", "decompose", "prove"]


def prove(graph: Graph) -> list[Finding]:
    """All findings about a network with shapes, topic by topic.

    They cost as much as there are distinct units, whatever the depth.
    """
    network = taken_apart(graph)
    found = units_of(network)
    return [
        *identity_path(graph, network, found),
        *gradient(graph, network, found),
        *receptive_field(graph, network),
        *depth(graph, network, found),
        *mistakes(graph, network, units(found)),
    ]
