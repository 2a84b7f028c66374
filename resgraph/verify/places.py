"""The first node at which two worlds part, by its name and line in the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from resgraph.diagnostics import Span
from resgraph.graph import Graph
from resgraph.verify.flow import Flow
from resgraph.verify.tolerance import FACTOR, Deviation, deviation


@dataclass(frozen=True)
class Place:
    """A node of the graph: `stage1.0.conv1`, and where the spec has it."""

    name: str
    span: Span | None

    def __str__(self) -> str:
        return self.name if self.span is None else f"{self.name} ({self.span})"


@dataclass(frozen=True)
class Divergence:
    """The first node that diverges, with the largest relative error of those before it."""

    place: Place
    before: float
    found: Deviation

    def __str__(self) -> str:
        allowed = FACTOR * self.found.expected / (self.found.norm or 1.0)
        return (
            f"first at {self.place}: error {self.before:.1e} before it, "
            f"{self.found.relative:.1e} after it, where rounding may make {allowed:.1e}"
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
    ours: Mapping[str, Tensor],
    exact: Mapping[str, Tensor],
    noisy: Callable[[int], Mapping[str, Tensor]],
    unit: float,
) -> Divergence | None:
    """The first of our values, in their order, that rounding does not explain.

    `noisy` gives the values of the k-th run with noise of this unit roundoff.
    """
    before = 0.0
    known: dict[int, Mapping[str, Tensor]] = {}

    def run(k: int) -> Mapping[str, Tensor]:
        if k not in known:
            known[k] = noisy(k)
        return known[k]

    for name, value in ours.items():
        found = deviation({name: value}, exact, run, unit, {})
        if not found.within:
            return Divergence(Place(name, spans(graph).get(name)), before, found)
        before = max(before, found.relative)
    return None
