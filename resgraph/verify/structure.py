"""Structure without numbers: the generated module, the graph, and the reference, as flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def flows(network: nn.Module, shape: Sequence[int]) -> Flows:
    """On images of this shape. Raises `ResgraphError` where it cannot be traced."""
    return Flows(
        trace(network, shape, training=True), trace(network, shape, training=False)
    )


@dataclass(frozen=True)
class Compared:
    """A check of structure, and the pairing of the tensors where it passed."""

    check: Check
    match: Match | None
    training: bool = True
    """Whether the mode in which they differ is that of training."""
    chances: tuple[int, ...] = ()
    """For each dropout of theirs, in order, the number of ours that it is."""


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
    if swapped := _swapped(name, pairs, where):
        return Compared(swapped, None)
    return Compared(passed(name, _size(ours.training)), pairs)


def _swapped(name: str, pairs: Match, where: Mapping[str, Span]) -> Check | None:
    """A failed check where a tensor stands in the place of another of its shape."""
    for mine, other in pairs.weights.items():
        if mine != other:
            text = f"{mine} is used where the spec has {other}"
            return failed(name, text, where.get(other.rpartition(".")[0]))
    return None


def against_onnx(name: str, graph: Graph, ours: Flow, theirs: Flow) -> Check:
    """A model's nodes against the graph's at inference, attributes and names included."""
    result, where = match(ours, theirs), spans(graph)
    if isinstance(result, Mismatch):
        return failed(name, *_explained(result, ours, theirs, where))
    swapped = _swapped(name, result, where)
    return swapped or passed(name, f"{_size(ours)}: each node and attribute the spec's")


def against_module(graph: Graph, ours: Flow, theirs: Flow, what: str) -> Compared:
    """The generated module against a reference, whatever that calls its parts."""
    name = f"structure: {what}"
    result = match(ours, theirs)
    if isinstance(result, Mismatch):
        text, span = _explained(result, ours, theirs, spans(graph))
        return Compared(failed(name, text, span), None)
    exactly = ours.sequence == theirs.sequence
    how = "same ops in the same order" if exactly else "the same up to order"
    detail = f"{_size(ours)}: {how}"
    return Compared(
        passed(name, detail), result, chances=_chances(ours, theirs, result)
    )


def _chances(ours: Flow, theirs: Flow, pairs: Match) -> tuple[int, ...]:
    """Which of our dropouts each of theirs is, both counted in the order of execution."""
    mine = {j: i for i, j in pairs.steps.items()}
    order = [i for i, step in enumerate(ours.steps) if step.op == "dropout"]
    return tuple(
        order.index(mine[j])
        for j, step in enumerate(theirs.steps)
        if step.op == "dropout"
    )


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
