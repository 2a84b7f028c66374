"""Where Eq. (4) and (5) are said to hold, as routes from x_l to x_L that can be measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from resgraph.graph import Graph
from resgraph.prove.parts import Parts
from resgraph.prove.routes import Routes
from resgraph.prove.sites import (
    Site,
    Stage,
    place_of,
    segments,
    taken_apart,
    units_of,
)
from resgraph.prove.skips import added_skips


@dataclass(frozen=True)
class Step:
    """A node on the way, and the values that it reads beside the one that comes this way.

    All values are called as in `Graph.network.flat`: by the node's name in the state_dict.
    """

    node: str
    beside: tuple[str, ...]
    sums: bool
    """Whether it is a sum, so that it adds what it reads beside."""


@dataclass(frozen=True)
class Route:
    """The way from the value x_l to x_L, the value of the last node."""

    x: str
    steps: tuple[Step, ...]

    @property
    def end(self) -> str:
        return self.steps[-1].node

    @property
    def added(self) -> tuple[str, ...]:
        """What the sums on the way add to x_l."""
        return tuple(v for step in self.steps if step.sums for v in step.beside)

    @property
    def odd(self) -> str:
        """The first node that is no sum and yet reads more than the value; else nothing."""
        odd = (s.node for s in self.steps if s.beside and not s.sums)
        return next(odd, "")

    def within(self, other: Route) -> bool:
        """Whether the other one leads along it, too."""
        nodes = [step.node for step in other.steps]
        if self.steps[0].node not in nodes:
            return False
        first = nodes.index(self.steps[0].node)
        return other.steps[first : first + len(self.steps)] == self.steps


@dataclass(frozen=True)
class Claim:
    """An identity path of which `prove` says that both equations hold."""

    place: str
    route: Route
    skip: bool = False
    """Whether it is a skip connection's."""


def claims(graph: Graph, routes: Routes) -> Iterator[Claim]:
    """All of them: over rows of units, and along skip connections.

    Of units that stand in repeated ones, those in the first of these. `routes` are those
    through the network.
    """
    network = taken_apart(graph)
    carrying = [site for site in units_of(network) if site.carries and site.parts]
    for segment in segments(carrying):
        for found in _routes(routes, _units(segment)):
            yield Claim(place_of(segment), found)
    yield from _of_skips(graph, network, routes)


def _of_skips(
    graph: Graph, network: Sequence[Stage], routes: Routes
) -> Iterator[Claim]:
    for skip, parts in added_skips(graph, network):
        if parts.is_identity:
            yield Claim(skip.told, route(routes, [(skip.site.prefix(), parts)]), True)


def route(routes: Routes, units: Iterable[tuple[str, Parts]]) -> Route:
    """The one way through units that follow one another, each given by its prefix."""
    (found,) = _routes(routes, units)
    return found


def _units(segment: Sequence[Site]) -> Iterator[tuple[str, Parts]]:
    for site in segment:
        assert site.parts is not None
        for offset in range(site.count):
            yield site.prefix(offset), site.parts


def _routes(routes: Routes, units: Iterable[tuple[str, Parts]]) -> Iterator[Route]:
    """The way through the units; several where ops between them are not among the units'."""
    x, steps = "", list[Step]()
    for prefix, parts in units:
        before = parts.x
        for node in parts.route:
            name = prefix + node.name
            reads = [*routes.nodes[name].inputs]
            value = reads.pop(node.inputs.index(before))
            if steps and value != steps[-1].node:
                yield Route(x, tuple(steps))
                steps = []
            x = x if steps else value
            steps.append(Step(name, tuple(reads), node.op.sums))
            before = node.name
    if steps:
        yield Route(x, tuple(steps))
