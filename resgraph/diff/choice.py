"""Which two networks to compare, where the specs name several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from resgraph.graph import Graph
from resgraph.prove.depth import depths


def counterparts(ours: Sequence[Graph], theirs: Sequence[Graph]) -> tuple[Graph, Graph]:
    """The first two networks that are as deep and have as many classes; else as deep.

    Where no two are alike, the first of each.
    """
    ways: tuple[Callable[[Graph], Any], ...] = (_depth_and_classes, layers)
    for way in ways:
        known = {way(graph): graph for graph in reversed(theirs)}
        for graph in ours:
            if way(graph) in known:
                return graph, known[way(graph)]
    return ours[0], theirs[0]


def layers(graph: Graph) -> int:
    """Weight layers on the longest path, the network's depth as the paper counts it."""
    return max(count.total for count in depths(graph).values())


def _depth_and_classes(graph: Graph) -> tuple[int, int | None]:
    return layers(graph), graph.classes
