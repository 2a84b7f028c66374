"""The first node at which two worlds part, by its name and line in the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from resgraph.diagnostics import Span
from resgraph.graph import Graph
from resgraph.verify.flow import INPUT, Flow
from resgraph.verify.isomorphism import Mismatch, in_order_of, match
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.tolerance import FACTOR, Deviation, deviation, relative

PARTED = "numbers where they part"


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
        for node in instance.steps
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


def first_beyond(graph: Graph, flow: Flow, dtype: torch.dtype) -> str:
    """Where a network's own values are beyond this type, in words; nothing where none are:
    not finite as it holds them, or all so small that it has fewer digits for them, or none."""
    least, most = torch.finfo(dtype).tiny, torch.finfo(dtype).max
    for step, value in zip(flow.steps, flow.values, strict=True):
        largest = float(value.abs().max())
        if largest and not least <= largest <= most:
            return f"first at {Place(step.scope, spans(graph).get(step.scope))}"
    return ""


# --- structures that part -------------------------------------------------------------------


def parted(graph: Graph, ours: Flow, meant: Flow) -> Check:
    """How far the values are apart before and at the first node that is another.

    Both flows were recorded on the same weights and images.
    """
    found = match(ours, meant)
    if not isinstance(found, Mismatch):
        return passed(PARTED, "none differs on these numbers")
    ends = zip(ours.outputs, in_order_of(ours, meant).outputs, strict=False)
    known = [(i, j) for i, j in ends if INPUT not in (i, j)]
    far = max(
        (relative(ours.values[i], meant.values[j]) for i, j in known), default=0.0
    )
    what = "outputs" if len(meant.outputs) > 1 else "logits"
    where = meant.steps[found.theirs].scope if found.theirs is not None else ""
    place = Place(where or "the output", spans(graph).get(where))
    text = (
        f"first at {place}: {_errors(found, ours, meant)}; {what} are off by {far:.1e}"
    )
    return failed(PARTED, text, place.span)


def _errors(found: Mismatch, ours: Flow, theirs: Flow) -> str:
    """Errors relative to the graph's values, up to the node and at it."""
    if found.ours is None or found.theirs is None:
        return "one of them goes on where the other ends"
    before = max(
        (
            relative(ours.values[i], theirs.values[j])
            for i, j in zip(
                ours.steps[found.ours].inputs,
                theirs.steps[found.theirs].inputs,
                strict=False,
            )
            if INPUT not in (i, j) and ours.steps[i].shape == theirs.steps[j].shape
        ),
        default=0.0,
    )
    mine, other = ours.values[found.ours], theirs.values[found.theirs]
    if mine.shape != other.shape:
        shapes = f"{list(mine.shape[1:])} where the spec has {list(other.shape[1:])}"
        return f"error {before:.1e} before it, and then {shapes}"
    return f"error {before:.1e} before it, {relative(mine, other):.1e} after it"
