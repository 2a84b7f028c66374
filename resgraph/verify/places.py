"""The first node at which two worlds part, by its name and line in the spec."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from resgraph.diagnostics import Span
from resgraph.graph import Graph
from resgraph.verify.flow import Flow
from resgraph.verify.numbers import FACTOR, ROUNDING, relative


@dataclass(frozen=True)
class Place:
    """A node of the graph: `stage1.0.conv1`, and where the spec has it."""

    name: str
    span: Span | None

    def __str__(self) -> str:
        return self.name if self.span is None else f"{self.name} ({self.span})"


@dataclass(frozen=True)
class Divergence:
    """The first node that diverges, with the relative errors up to it and at it."""

    place: Place
    before: float
    after: float
    allowed: float

    def __str__(self) -> str:
        return (
            f"first at {self.place}: error {self.before:.1e} before it, "
            f"{self.after:.1e} after it, where {self.allowed:.1e} is rounding"
        )


def spans(graph: Graph) -> dict[str, Span]:
    """Where the spec has each node, by the node's full name."""
    return {
        f"{prefix}{node.name}": node.span
        for prefix, instance in graph.parts()
        for _, node, _ in instance.unit.steps()
    }


def by_node(flow: Flow) -> dict[str, int]:
    """The step that ends each node of an interpreted graph."""
    return {step.scope: i for i, step in enumerate(flow.steps)}


def first_divergence(
    graph: Graph,
    nodes: Sequence[str],
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    exact: Mapping[str, Tensor],
) -> Divergence | None:
    """The first of the nodes, in order, where our values are further from `exact` than allowed.

    Allowed is `FACTOR` times their error there, or where the node's input already differs.
    """
    where = spans(graph)
    before = 0.0
    for name in nodes:
        error = relative(ours[name], exact[name])
        allowed = FACTOR * relative(theirs[name], exact[name]) + ROUNDING
        if not error <= allowed:  # also where it is NaN
            return Divergence(Place(name, where.get(name)), before, error, allowed)
        before = max(before, 0.0 if math.isnan(error) else error)
    return None
