"""Skip connections between stages: what becomes of a value that leads past others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from resgraph.graph import Graph, Node, Row
from resgraph.graph.dag import Dag
from resgraph.graph.sites import listing
from resgraph.prove.finding import Finding, Level, Topic
from resgraph.prove.parts import Parts, ways
from resgraph.prove.routes import Routes
from resgraph.prove.sites import Site, Stage, leaves


@dataclass(frozen=True)
class Skip:
    """A value that a stage reads beside what others make of it."""

    value: str
    past: tuple[str, ...]
    """The stages between."""
    site: Site
    """The unit that reads it, as its input `x`."""
    x: str

    @cached_property
    def parts(self) -> Parts | None:
        """The unit taken apart for this input, if that is a residual one."""
        return next((p for p in ways(self.site.instance) if p.x == self.x), None)

    @property
    def told(self) -> str:
        ends = f"{self.value} to {self.site.unit() or self.site.row.name}"
        return f"skip connection from {ends}, past {listing(self.past)}"


def skips(graph: Graph, network: Sequence[Stage]) -> Iterator[Finding]:
    """What becomes of the value of each skip connection, where it stays as it is or is added."""
    for skip in _skips(graph, network):
        parts = skip.parts
        kept = _kept(Routes.through(skip.site.instance), skip.x)
        if parts and _reaches(parts):
            yield _added(skip, parts)
        elif kept is not None:
            text = (
                f"{kept.name} keeps it as it is, beside others, in channels of its own, as a "
                "dense connection does"
            )
            yield _finding(skip, Level.FACT, text, (kept,))
        elif parts:
            nodes = (*parts.breaks_before, *parts.breaks_h)
            names = listing([node.name for node in nodes], " and ")
            text = f"{names} change{'s' * (len(nodes) == 1)} it before {parts.y.name} adds it"
            yield _finding(skip, Level.FACT, text, nodes)


def added_skips(graph: Graph, network: Sequence[Stage]) -> Iterator[tuple[Skip, Parts]]:
    """The skip connections whose value an addition adds as it is."""
    for skip in _skips(graph, network):
        if skip.parts and _reaches(skip.parts):
            yield skip, skip.parts


def _reaches(parts: Parts) -> bool:
    """Whether x reaches the addition as it is."""
    return parts.is_identity_before and parts.is_identity_h


def bypassed(graph: Graph, network: Sequence[Stage]) -> set[str]:
    """The rows of which some gradient comes back to the network's input without them."""
    dag = Dag[Row].of(graph.network.block)
    spines = [{*dag.spine(x, out)} for x in dag.inputs for out in dag.outputs]
    return {stage.row.name for stage in network} - set[str].intersection(*spines)


def _skips(graph: Graph, network: Sequence[Stage]) -> Iterator[Skip]:
    dag = Dag[Row].of(graph.network.block)
    for stage in network:
        makers = dag.reads[stage.row.name]
        for number, (value, maker) in enumerate(
            zip(stage.row.inputs, makers, strict=True)
        ):
            others = dag.needed(makers) - dag.needed([maker])
            past = [row.name for row in dag.chosen(others & dag.reached(maker))]
            if past:
                first = next(leaves(stage.sites))
                x = first.instance.block.inputs[number]
                yield Skip(value, tuple(past), first, x)


def _added(skip: Skip, parts: Parts) -> Finding:
    text = f"{parts.y.name} adds x_l as it is"
    if parts.is_identity_f:
        text += (
            ": an identity path, x_L = x_l + what lies between, as in Eq. (4), and dE/dx_L "
            "comes back to x_l whole, as in Eq. (5)"
        )
        return _finding(skip, Level.HOLDS, text, (parts.y,))
    names = listing([node.name for node in parts.breaks_f], " and ")
    text += f"; f, with {names}, then changes the sum"
    return _finding(skip, Level.BROKEN, text, (parts.y, *parts.breaks_f))


def _kept(routes: Routes, x: str) -> Node | None:
    """The node that puts x beside other channels, with nothing before it that changes it."""
    same = {x}
    for name, node in routes.nodes.items():
        if not same.isdisjoint(routes.reads[name]):
            if node.op.keeps:
                return node
            same |= {name} - routes.breaking
    return None


def _finding(skip: Skip, level: Level, text: str, nodes: Sequence[Node]) -> Finding:
    where = tuple(skip.site.path(node) for node in nodes)
    message = f"{skip.told}: {text}"
    return Finding(level, Topic.IDENTITY, message, nodes[0].span, where)
