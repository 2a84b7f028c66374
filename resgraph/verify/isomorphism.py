"""Two flows are the same graph: which step of one is which of the other, and which tensor.

Both are brought into normal form first, so that ways to write one thing are one: nested sums
with their factors among them, which is why nothing is regrouped here (`sum_rules.py`).
Names do not count anywhere; of two steps that will do, the one of our name is preferred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from resgraph.graph import isomorphism as graphs
from resgraph.graph.isomorphism import Labelled, Parting
from resgraph.verify.flow import INPUT, Flow, Step, live
from resgraph.verify.labels import COMMUTATIVE
from resgraph.verify.normal import Normal
from resgraph.verify.rewrites import normalised


@dataclass(frozen=True)
class Match:
    """A proven isomorphism of two flows in normal form."""

    steps: Mapping[int, int]
    """Index of our step -> index of the step of theirs that has the same value."""
    weights: Mapping[str, str]
    """Our name in the state_dict -> theirs."""


@dataclass(frozen=True)
class Place:
    """A step in normal form, and what it is computed from (None: the network's input)."""

    step: Step
    sources: tuple[Step | None, ...]


@dataclass(frozen=True)
class Mismatch(Parting):
    """Where two flows part, by their own steps."""

    our_place: Place | None = None
    their_place: Place | None = None
    """The same in normal form: what is compared, and so what can be told of it."""


def match(ours: Flow, theirs: Flow) -> Match | Mismatch:
    """The isomorphism of two flows, or where they part."""
    one, two = normalised(ours), normalised(in_order_of(ours, theirs))
    found = pairing(one, two)
    if isinstance(found, Parting):
        steps = _cause(one, found.ours), _cause(two, found.theirs)
        places = _place(one, found.ours), _place(two, found.theirs)
        return Mismatch(*steps, found.why, found.settled, *places)
    mine, others = _origins(one), _origins(two)
    pairs = {
        mine[i]: others[j] for i, j in found.steps.items() if i in mine and j in others
    }
    return Match(dict(sorted(pairs.items())), found.weights)


def pairing(ours: Normal, theirs: Normal) -> Match | Parting:
    """The isomorphism of two normal forms, in their own steps, or where they part."""
    found = graphs.isomorphism(
        _labelled(ours.steps, ours.outputs), _labelled(theirs.steps, theirs.outputs)
    )
    return found if isinstance(found, Parting) else _weights(ours, theirs, found.nodes)


def written_alike(ours: Flow, theirs: Flow) -> bool:
    """Whether the flows are the same but for their order, without a rule that may round."""
    flows = (ours, in_order_of(ours, theirs))
    one, two = (_labelled(*_live(flow)) for flow in flows)
    return isinstance(graphs.isomorphism(one, two), graphs.Pairing)


def in_order_of(ours: Flow, theirs: Flow) -> Flow:
    """Their flow with its outputs as ours has them: by name, if both have the same names."""
    order = graphs.in_order_of(ours.names, theirs.names)
    if [*order] == [*range(len(theirs.names))]:
        return theirs
    outputs = tuple(theirs.outputs[i] for i in order)
    names = tuple(theirs.names[i] for i in order)
    return replace(theirs, outputs=outputs, names=names)


def _live(flow: Flow) -> tuple[Sequence[Step], tuple[int, ...]]:
    steps, place = live(flow.steps, flow.outputs)
    return steps, tuple(place[i] for i in flow.outputs)


def _labelled(steps: Sequence[Step], outputs: tuple[int, ...]) -> Labelled:
    return Labelled(
        [repr(step.kind) for step in steps],
        [step.inputs for step in steps],
        [step.op in COMMUTATIVE for step in steps],
        outputs,
        names=[tuple(name for _, name, _ in step.weights) for step in steps],
    )


def _weights(ours: Normal, theirs: Normal, steps: Mapping[int, int]) -> Match | Parting:
    """The pairing of the tensors; each must have one partner wherever it is used."""
    pairs: dict[str, str] = {}
    back: dict[str, str] = {}
    for i, j in steps.items():
        mine, others = ours.steps[i].weights, theirs.steps[j].weights
        for (_, name, _), (_, other, _) in zip(mine, others, strict=True):
            if pairs.setdefault(name, other) != other or (
                back.setdefault(other, name) != name
            ):
                why = f"{name} and {other} are not used in the same places"
                return Parting(i, j, why)
    return Match(steps, pairs)


def _origins(form: Normal) -> dict[int, int]:
    """Step in normal form -> the first step of the flow with its value."""
    return {j: i for i, j in sorted(form.place.items(), reverse=True)}


def _cause(form: Normal, index: int | None) -> int | None:
    return None if index is None else form.cause[index]


def _place(form: Normal, index: int | None) -> Place | None:
    if index is None:
        return None
    step = form.steps[index]
    sources = (None if i == INPUT else form.steps[i] for i in step.inputs)
    return Place(step, tuple(sources))
