"""Two flows are the same graph: canonical hashes, and the pairing that follows from them.

Both are brought into normal form first, so that ways to write one thing are one.
A step's hash goes upwards through all that it is computed from, and then downwards through
all that is computed from it; under `add` and `mul` the order of operands does not count.
Names do not count anywhere.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resgraph.graph import isomorphism as graphs
from resgraph.limits import ISOMORPHISM_STEPS
from resgraph.verify.flow import INPUT, Flow, Step
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
class Mismatch:
    """Where two flows part: the first step of each that the other does not have.

    None where one of them has all that the other has, and more.
    """

    ours: int | None
    theirs: int | None
    why: str
    our_place: Place | None = None
    their_place: Place | None = None
    """The same in normal form: what is compared, and so what can be told of it."""
    settled: bool = True
    """Whether it is known that they part; else they are too symmetric to tell."""


def match(ours: Flow, theirs: Flow) -> Match | Mismatch:
    """The isomorphism of two flows, or where they part."""
    forms = normalised(ours), normalised(theirs)
    found = pairing(*forms)
    if isinstance(found, Mismatch):
        return _located(found, *forms)
    ours_of, theirs_of = map(_origins, forms)
    steps = {
        ours_of[i]: theirs_of[j]
        for i, j in found.steps.items()
        if i in ours_of and j in theirs_of
    }
    return Match(dict(sorted(steps.items())), found.weights)


def pairing(ours: Normal, theirs: Normal) -> Match | Mismatch:
    """The isomorphism of two normal forms, in their own steps, or where they part."""
    up = _up(ours), _up(theirs)
    if _result(ours, up[0]) != _result(theirs, up[1]):
        return _parting(up[0], up[1])
    colours = _down(ours, up[0]), _down(theirs, up[1])
    steps = _paired(ours, theirs, *colours)
    if isinstance(steps, Mismatch):
        return steps
    return _weights(ours, theirs, steps)


def _origins(form: Normal) -> dict[int, int]:
    """Step in normal form -> the first step of the flow with its value."""
    return {j: i for i, j in sorted(form.place.items(), reverse=True)}


def _located(found: Mismatch, ours: Normal, theirs: Normal) -> Mismatch:
    """The mismatch in steps of the flows themselves."""
    return replace(
        found,
        ours=None if found.ours is None else ours.cause[found.ours],
        theirs=None if found.theirs is None else theirs.cause[found.theirs],
        our_place=_place(ours, found.ours),
        their_place=_place(theirs, found.theirs),
    )


def _place(form: Normal, index: int | None) -> Place | None:
    if index is None:
        return None
    step = form.steps[index]
    sources = (None if i == INPUT else form.steps[i] for i in step.inputs)
    return Place(step, tuple(sources))


def _result(flow: Normal, up: Sequence[str]) -> str:
    return "input" if flow.output == INPUT else up[flow.output]


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _up(flow: Normal) -> list[str]:
    """A hash per step of all that it is computed from."""
    hashes: list[str] = []
    for step in flow.steps:
        inputs = ["input" if i == INPUT else hashes[i] for i in step.inputs]
        if step.op in COMMUTATIVE:
            inputs.sort()
        hashes.append(_digest(step.kind, inputs))
    return hashes


def _down(flow: Normal, up: Sequence[str]) -> list[str]:
    """A hash per step of all that it is computed from and of all that it is used for."""
    uses: dict[int, list[str]] = defaultdict(list)
    colours = [""] * len(flow.steps)
    uses[flow.output].append("output")
    for i in range(len(flow.steps) - 1, -1, -1):
        step = flow.steps[i]
        colours[i] = _digest(up[i], sorted(uses[i]))
        for place, source in enumerate(step.inputs):
            where = 0 if step.op in COMMUTATIVE else place
            uses[source].append(_digest(colours[i], where))
    return colours


def _parting(up: Sequence[str], their_up: Sequence[str]) -> Mismatch:
    mine, others = set(up), set(their_up)
    first = next((i for i, h in enumerate(up) if h not in others), None)
    second = next((i for i, h in enumerate(their_up) if h not in mine), None)
    return Mismatch(first, second, "they compute different things")


def _paired(
    ours: Normal, theirs: Normal, colours: Sequence[str], their_colours: Sequence[str]
) -> dict[int, int] | Mismatch:
    """The pairing of the steps: as they come, or by a search where that ends nowhere."""
    found = _as_they_come(ours, theirs, colours, their_colours)
    if not isinstance(found, Mismatch):
        return found
    try:
        pairs = graphs.isomorphism(
            _labelled(ours, colours), _labelled(theirs, their_colours)
        )
    except graphs.UnsettledError:
        why = f"too symmetric to tell within {ISOMORPHISM_STEPS:,} steps"
        return replace(found, why=why, settled=False)
    return found if pairs is None else dict(enumerate(pairs))


def _labelled(flow: Normal, colours: Sequence[str]) -> graphs.Labelled:
    reads = [tuple(step.inputs) for step in flow.steps]
    free = [step.op in COMMUTATIVE for step in flow.steps]
    return graphs.Labelled(colours, reads, free, flow.output)


def _as_they_come(
    ours: Normal, theirs: Normal, colours: Sequence[str], their_colours: Sequence[str]
) -> dict[int, int] | Mismatch:
    """Pair steps of one colour whose inputs are paired already, those of one name first."""
    free: dict[tuple[str, tuple[int, ...]], dict[int, None]] = defaultdict(dict)
    alike: dict[str, list[int]] = defaultdict(list)
    for j, (step, colour) in enumerate(zip(theirs.steps, their_colours, strict=True)):
        free[colour, _ordered(step, step.inputs)][j] = None
        alike[colour].append(j)
    pairs = {INPUT: INPUT}
    for i, step in enumerate(ours.steps):
        waiting = free[colours[i], _ordered(step, [pairs[s] for s in step.inputs])]
        if not waiting:
            why = "the same ops, but values are shared between them in another way"
            taken = {*pairs.values()}
            others = (j for j in alike[colours[i]] if j not in taken)
            return Mismatch(i, next(others, None), why)
        names = [name for _, name, _ in step.weights]
        first = next(iter(waiting))
        found = next((j for j in waiting if _names(theirs, j) == names), first)
        del waiting[found]
        pairs[i] = found
    del pairs[INPUT]
    left = min((j for rest in free.values() for j in rest), default=None)
    if left is not None:
        return Mismatch(None, left, "they compute more than is needed for the same")
    return pairs


def _names(flow: Normal, step: int) -> list[str]:
    return [name for _, name, _ in flow.steps[step].weights]


def _ordered(step: Step, inputs: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(inputs) if step.op in COMMUTATIVE else inputs)


def _weights(
    ours: Normal, theirs: Normal, steps: Mapping[int, int]
) -> Match | Mismatch:
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
                return Mismatch(i, j, why)
    return Match(steps, pairs)
