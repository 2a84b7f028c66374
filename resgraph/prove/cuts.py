"""Which units cut their signal at zero after the addition, as Sec. 4.2 asks of f = ReLU."""

from __future__ import annotations

from resgraph.graph import Graph
from resgraph.prove.passages import Passage, passages
from resgraph.prove.sites import taken_apart


def truncating(graph: Graph) -> dict[str, bool]:
    """By the name of each unit (`stage1.0`), in order: whether its f ends in a cut at zero.

    A cut at zero is an op that leaves what is not negative as it is and lets nothing
    negative pass. An f whose input is never negative cuts nothing, and neither does one
    that is the identity, even where F ends in ReLU (Fig. 4c). A unit that is made of units
    cuts where the last one of them does.
    """
    answers = dict[str, bool]()
    for passage in passages(graph, taken_apart(graph)):
        if not passage.site.loose:
            units, cuts = passage.site.outermost, _cuts(passage)
            answers |= {units.unit(i): cuts for i in range(units.count)}
    return answers


def _cuts(passage: Passage) -> bool:
    after = {node.name for parts in passage.site.shortcuts for node in parts.f}
    for node, inputs in passage.inputs():
        if node.name == passage.routes.output and node.name in after:
            keeps = node.op.idle(*(True for _ in inputs))
            stops = node.op.never_negative(*(False for _ in inputs))
            idle = node.op.idle(*(state.never_negative for state in inputs))
            return keeps and stops and not idle
    return False
