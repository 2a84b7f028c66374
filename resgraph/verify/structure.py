"""Structure without numbers: the generated module, the graph, and the reference, as flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from resgraph.diagnostics import Span
from resgraph.graph import Graph
from resgraph.verify.flow import Flow, Step
from resgraph.verify.isomorphism import Match, Mismatch, Place, match
from resgraph.verify.places import spans
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.trace import trace


@dataclass(frozen=True)
class Flows:
    """A network's flow in training and at inference."""

    training: Flow
    inference: Flow


def flows(network: nn.Module, graph: Graph) -> Flows:
    """Raises `ResgraphError` where the network cannot be traced."""
    return Flows(
        trace(network, graph.input, training=True),
        trace(network, graph.input, training=False),
    )


@dataclass(frozen=True)
class Compared:
    """A check of structure, and the pairing of the tensors where it passed."""

    check: Check
    match: Match | None
    training: bool = True
    """Whether the mode in which they differ is that of training."""
    exactly: bool = False
    """The same calls in the same order: equal to the last bit."""


def against_graph(graph: Graph, ours: Flows, theirs: Flows) -> Compared:
    """The generated module against the graph itself, names included."""
    name = "structure: spec"
    where = spans(graph)
    found = [
        match(ours.training, theirs.training),
        match(ours.inference, theirs.inference),
    ]
    for training, result in zip((True, False), found, strict=True):
        if isinstance(result, Mismatch):
            text, span = _explained(result, ("the module", "the spec"), where)
            return Compared(failed(name, text, span), None, training)
    pairs = found[0]
    assert isinstance(pairs, Match)  # the others have returned
    for mine, other_name in pairs.weights.items():
        if mine != other_name:
            text = f"{mine} is used where the spec has {other_name}"
            node = other_name.rpartition(".")[0]
            return Compared(failed(name, text, where.get(node)), None)
    return Compared(passed(name, _size(ours.training)), pairs)


def against_module(graph: Graph, ours: Flow, theirs: Flow, what: str) -> Compared:
    """The generated module against a reference, whatever that calls its parts."""
    name = f"structure: {what}"
    result = match(ours, theirs)
    if isinstance(result, Mismatch):
        other = _NOUNS.get(what, what)
        text, span = _explained(result, (graph.name, other), spans(graph))
        return Compared(failed(name, text, span), None)
    exactly = ours.sequence == theirs.sequence
    how = "same ops in the same order" if exactly else "the same up to order"
    return Compared(passed(name, f"{_size(ours)}: {how}"), result, exactly=exactly)


def _size(ours: Flow) -> str:
    return f"isomorphic, {len(ours.steps):,} ops"


_NOUNS = {"by hand": "the network by hand"}
"""What the other network is called in a sentence, where its name does not do."""


@dataclass(frozen=True)
class _Side:
    """One of two networks that are compared, in the words of a message."""

    name: str
    place: Place | None
    """Where it parts from the other."""

    def __str__(self) -> str:
        if self.place is None:
            return f"{self.name} has nothing more"
        step = self.place.step
        scope = f" ({step.scope})" if step.scope else ""
        return f"{self.name} has {step}{scope}"


def _explained(
    found: Mismatch, names: tuple[str, str], where: Mapping[str, Span]
) -> tuple[str, Span | None]:
    """The first difference in words, and the spec's line if a node of it is known.

    `names` are those of our network and of the other one.
    """
    ours, theirs = (
        _Side(name, place)
        for name, place in zip(names, (found.our_place, found.their_place), strict=True)
    )
    first = ours.place or theirs.place
    scopes = [place.step.scope for place in (theirs.place, ours.place) if place]
    span = next((where[scope] for scope in scopes if scope in where), None)
    after = _after(first) if first else ""
    return f"{after}{ours}, and {theirs}: {found.why}", span


def _after(place: Place) -> str:
    """What the step comes after: the last of it, if that is much."""
    names = [_named(step) for step in place.sources[-2:]]
    more = len(place.sources) - len(names)
    rest = f" and {more} others" if more else ""
    return f"after {' and '.join(names)}{rest} " if names else ""


def _named(step: Step | None) -> str:
    if step is None:
        return "the input"
    return f"{step.op} in {step.scope}" if step.scope else step.op
