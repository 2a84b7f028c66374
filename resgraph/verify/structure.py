"""Structure without numbers: the generated module, the graph, and the reference, as flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from resgraph.diagnostics import Span, plural
from resgraph.graph import Graph
from resgraph.verify.flow import INPUT, Flow, Flows, Step
from resgraph.verify.isomorphism import (
    Match,
    Mismatch,
    Place,
    in_order_of,
    match,
    written_alike,
)
from resgraph.verify.places import spans
from resgraph.verify.report import Check, failed, passed, unproven
from resgraph.verify.skeleton import alike
from resgraph.verify.trace import trace


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
    apart: str = ""
    """Where they part, without a verdict on it."""
    guess: Mapping[str, str] | None = None
    """Where nothing is proven: our names -> theirs, if both use their tensors alike."""
    chances: tuple[int, ...] = ()
    """For each dropout of theirs, in order, the number of ours that it is."""
    outputs: tuple[str, ...] = ()
    """For each output of theirs, in order, the name of ours that it is."""
    comparable: bool = True
    """Whether the outputs are as many and of the same shapes, so that their numbers may be
    held together."""


def against_graph(graph: Graph, ours: Flows, theirs: Flows) -> Compared:
    """The generated module against the graph itself, names included."""
    name = "structure: spec"
    where = spans(graph)
    if other := _other_count(name, ours, theirs, ("the module", "the spec")):
        return Compared(other, None, comparable=False)
    modes = _modes(ours, theirs)
    found = [match(mine, other) for mine, other in modes]
    for training, result, both in zip((True, False), found, modes, strict=True):
        if isinstance(result, Mismatch):
            sides = ("the module", "the spec")
            parted = _parted(name, result, sides, where, _Returned(graph, *both))
            shaped = _shaped_alike(ours, theirs)
            return replace(parted, training=training, comparable=shaped)
    pairs = found[0]
    assert isinstance(pairs, Match)  # the others have returned
    if swapped := _swapped(name, pairs, where):
        return Compared(swapped, None)
    return Compared(passed(name, _size(graph)), pairs)


def _other_count(
    name: str, ours: Flows, theirs: Flows, sides: tuple[str, str]
) -> Check | None:
    """A failed check where one returns more values than the other."""
    words = ("in training", "at inference")
    for mode, (mine, other) in zip(words, _modes(ours, theirs), strict=True):
        if len(mine.outputs) != len(other.outputs):
            one, two = (_values(len(flow.outputs)) for flow in (mine, other))
            text = f"{sides[0]} returns {one} {mode}, and {sides[1]} {two}"
            return failed(name, text)
    return None


def _modes(ours: Flows, theirs: Flows) -> tuple[tuple[Flow, Flow], tuple[Flow, Flow]]:
    """Both networks' flows in training, and at inference."""
    return (ours.training, theirs.training), (ours.inference, theirs.inference)


def _shaped_alike(ours: Flows, theirs: Flows) -> bool:
    """Whether each output, told by its name if both have names, has the same shape."""
    return all(
        f.shapes == in_order_of(f, other).shapes for f, other in _modes(ours, theirs)
    )


def _values(count: int) -> str:
    return "one value" if count == 1 else f"{count} values"


def _swapped(name: str, pairs: Match, where: Mapping[str, Span]) -> Check | None:
    """A failed check where a tensor stands in the place of another of its shape."""
    for mine, other in pairs.weights.items():
        if mine != other:
            text = f"{mine} is used where the spec has {other}"
            return failed(name, text, where.get(other.rpartition(".")[0]))
    return None


def against_onnx(name: str, graph: Graph, ours: Flow, theirs: Flow) -> Compared:
    """A model's nodes against the graph's at inference, attributes and names included."""
    result, where = match(ours, theirs), spans(graph)
    if isinstance(result, Mismatch):
        returned = _Returned(graph, ours, theirs)
        return _parted(name, result, ("the model", "the spec"), where, returned)
    if swapped := _swapped(name, result, where):
        return Compared(swapped, None)
    detail = f"{_size(graph)}: each node and attribute the spec's"
    return Compared(passed(name, detail), result)


def against_module(graph: Graph, ours: Flows, theirs: Flows, what: str) -> Compared:
    """Our module against another author's, whatever that calls its parts, in both modes."""
    name = f"structure: {what}"
    sides = (graph.name, _NOUNS.get(what, what))
    if other := _other_count(name, ours, theirs, sides):
        return Compared(other, None, comparable=False)
    modes = _modes(ours, theirs)
    found = [match(mine, other) for mine, other in modes]
    for result, both in zip(found, modes, strict=True):
        if isinstance(result, Mismatch):
            returned = _Returned(graph, *both)
            parted = _parted(name, result, sides, spans(graph), returned)
            guess = alike(ours, theirs) if _shaped_alike(ours, theirs) else None
            return replace(parted, guess=guess, outputs=_outputs(graph, ours, theirs))
    pairs = found[0]
    assert isinstance(pairs, Match)  # the others have returned
    return Compared(
        passed(name, f"{_size(graph)}: {_how(modes)}"),
        pairs,
        chances=_chances(ours.training, theirs.training, pairs),
        outputs=_outputs(graph, ours, theirs),
    )


def _outputs(graph: Graph, ours: Flows, theirs: Flows) -> tuple[str, ...]:
    """What our names for their outputs are, in their order."""
    names, mine, other = [*graph.outputs], ours.inference, theirs.inference
    if in_order_of(mine, other) is not other:
        return tuple(names[mine.names.index(name)] for name in other.names)
    return tuple(names)


def _how(modes: Sequence[tuple[Flow, Flow]]) -> str:
    """What must be allowed for to call two flows the same, in each mode."""
    if all(ours.sequence == theirs.sequence for ours, theirs in modes):
        return "same ops in the same order"
    plainly = all(written_alike(*flows) for flows in modes)
    return "the same up to order" if plainly else "the same up to order and rounding"


def _chances(ours: Flow, theirs: Flow, pairs: Match) -> tuple[int, ...]:
    """Which of our dropouts each of theirs is, both counted as they draw their masks."""
    mine = {j: i for i, j in pairs.steps.items()}
    number = {step: k for k, step in enumerate(ours.draws)}
    alive = [step for step in theirs.draws if step != INPUT]
    spare = len(ours.draws)  # for masks of theirs that nothing comes of
    return tuple(
        spare if step == INPUT else number.get(mine.get(step, INPUT), alive.index(step))
        for step in theirs.draws
    )


def _size(graph: Graph) -> str:
    """Counted as the spec has them: a pooling is one op, whatever calls torch makes of it."""
    count = graph.total("nodes")
    return f"isomorphic, {count:,} {plural(count, 'op')}"


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


@dataclass(frozen=True)
class _Returned:
    """What two networks return that compute the same values."""

    graph: Graph
    ours: Flow
    theirs: Flow

    def parting(self, names: tuple[str, str]) -> tuple[str, Span | None] | None:
        """The first output that is another value, in words, and where the spec has it."""
        other = in_order_of(self.ours, self.theirs)
        for number, name in enumerate(self.graph.outputs):
            one, two = (
                replace(flow, outputs=(flow.outputs[number],))
                for flow in (self.ours, other)
            )
            if not isinstance(match(one, two), Match):
                shaped = one.shapes != two.shapes
                here, there = (_made(flow, shaped) for flow in (one, two))
                text = f"the output {name} is {here} in {names[0]}, and {there} in {names[1]}"
                named = self.graph.network.block.returned_spans[number : number + 1]
                return text, next(iter(named), None)
        return None


def _maker(flow: Flow) -> str:
    """The part that computes a flow's only output."""
    (place,) = flow.outputs
    if place == INPUT:
        return "the input"
    return flow.steps[place].scope or flow.steps[place].op


def _made(flow: Flow, shaped: bool) -> str:
    (shape,) = flow.shapes
    return f"{_maker(flow)} {list(shape)}" if shaped else _maker(flow)


def _parted(
    name: str,
    found: Mismatch,
    names: tuple[str, str],
    where: Mapping[str, Span],
    returned: _Returned,
) -> Compared:
    """The first difference in words, at the spec's line if a node of it is known.

    `names` are those of our network and of the other one.
    """
    placeless = found.settled and found.our_place is None and found.their_place is None
    if placeless and (other := returned.parting(names)):
        text, span = other
        return Compared(failed(name, text, span), None, apart=text)
    ours, theirs = (
        _Side(side, place)
        for side, place in zip(names, (found.our_place, found.their_place), strict=True)
    )
    first = ours.place or theirs.place
    scopes = [place.step.scope for place in (theirs.place, ours.place) if place]
    span = next((where[scope] for scope in scopes if scope in where), None)
    apart = f"{_after(first) if first else ''}{ours}, and {theirs}"
    verdict = failed if found.settled else unproven
    return Compared(verdict(name, f"{apart}: {found.why}", span), None, apart=apart)


def as_unproven(compared: Compared, bound: float) -> Check:
    """The check of structures that differ, of networks whose numbers are equal."""
    check = compared.check
    what = f"not proven; equal to {max(bound, 1e-16):.0e} on these inputs"
    return unproven(
        check.name,
        f"{what}: {compared.apart}, and no rule calls it the same",
        check.span,
    )


def _after(place: Place) -> str:
    """What the step comes after: the last of it, if that is much."""
    names = [_named(step) for step in place.sources[-2:]]
    more = len(place.sources) - len(names)
    rest = f" and {more} {plural(more, 'other')}" if more else ""
    return f"after {' and '.join(names)}{rest}, " if names else ""


def _named(step: Step | None) -> str:
    if step is None:
        return "the input"
    return f"{step.op} in {step.scope}" if step.scope else step.op
