"""Structure without numbers: the generated module, the graph, and the reference, as flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from resgraph.diagnostics import Span
from resgraph.graph import Graph
from resgraph.verify.flow import INPUT, Flow, Step
from resgraph.verify.isomorphism import Match, Mismatch, match
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
    for training, flow, other, result in zip(
        (True, False),
        (ours.training, ours.inference),
        (theirs.training, theirs.inference),
        found,
        strict=True,
    ):
        if isinstance(result, Mismatch):
            text, span = _explained(result, flow, other, where)
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
        text, span = _explained(result, ours, theirs, spans(graph))
        return Compared(failed(name, text, span), None)
    exactly = ours.sequence == theirs.sequence
    how = "same ops in the same order" if exactly else "the same up to order"
    return Compared(passed(name, f"{_size(ours)}: {how}"), result, exactly=exactly)


def _size(ours: Flow) -> str:
    return f"isomorphic, {len(ours.steps):,} ops"


def _explained(
    mismatch: Mismatch, ours: Flow, theirs: Flow, where: Mapping[str, Span]
) -> tuple[str, Span | None]:
    """The first difference in words, and the spec's line if a node of it is known."""
    mine = None if mismatch.ours is None else ours.steps[mismatch.ours]
    other = None if mismatch.theirs is None else theirs.steps[mismatch.theirs]
    after = _after(mine, ours) if mine else _after(other, theirs) if other else ""
    has = f"has {mine}" if mine else "has nothing more"
    wanted = f"{other}" if other else "nothing more"
    scope = other.scope if other else ""
    name = f" ({scope})" if scope else ""
    span = where.get(scope) or (where.get(mine.scope) if mine else None)
    return f"{after}it {has}, and should have {wanted}{name}: {mismatch.why}", span


def _after(step: Step, flow: Flow) -> str:
    """What the step comes after."""
    names = [
        "the input" if i == INPUT else f"{flow.steps[i].op} in {flow.steps[i].scope}"
        for i in step.inputs
    ]
    return f"after {' and '.join(names)} " if names else ""
