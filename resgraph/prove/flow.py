"""What is known of each value as it goes through the network, to a fixpoint over the depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resgraph.diagnostics import Span
from resgraph.graph import INPUT, Graph, Instance, Node
from resgraph.ops import Role
from resgraph.prove.parts import Parts
from resgraph.prove.sites import Site

MOST_STATES = 8
"""How often a repeated unit is followed; what is known settles after two or three times."""


@dataclass(frozen=True)
class Mark:
    """An op met on the way: what it is called, and where it is written."""

    name: str
    kind: str
    span: Span


@dataclass(frozen=True)
class State:
    """What is known of a value."""

    raw: Mark | None = None
    """The weight layer since which no activation has acted on it (None: one has)."""
    never_negative: bool = False
    norm: Mark | None = None
    """The normalisation since which it has met no weight layer and no merge."""
    activation: Mark | None = None
    """The activation since which it has met nothing but normalisations."""


ACTIVATED = State()
"""An activated value of either sign; so is the network's input taken to be."""
STRANGER = State(raw=Mark(INPUT, "", Span("", 0, 0, 0, 0)))
"""A value of which nothing is known."""

States = Mapping[str, State]


@dataclass(frozen=True)
class Flow:
    """Equal units in a row that meet equal inputs, with the states of their values.

    `site` says which they are; it is None for the stem and the head.
    """

    instance: Instance
    parts: Parts | None
    states: States
    site: Site | None

    def path(self, node: Node) -> str:
        """The name of a node of the first of them."""
        return self.site.path(node) if self.site else node.name

    def inputs(self) -> Iterator[tuple[Node, tuple[State, ...]]]:
        """Each node with the states of the values it reads."""
        for _, node, inputs in self.instance.unit.steps():
            yield node, tuple(self.states[i] for i in inputs)


def follow(instance: Instance, parts: Parts | None, given: State) -> States:
    """The state of every value of a unit, from that of its input.

    A projection stands in for x: its output counts as activated where its input does, so
    that the shortcut of a unit that changes the shape is judged as the identity would be.
    """
    projections = {node.name for node in parts.breaks_h} if parts else set[str]()
    states = {INPUT: given}
    for _, node, inputs in instance.unit.steps():
        known = tuple(states[i] for i in inputs)
        state = _after(node, known, given)
        if node.name in projections and node.op.role is Role.WEIGHT:
            state = replace(state, raw=_latest_raw(known, given))
        states[node.name] = state
    return states


def _after(node: Node, inputs: tuple[State, ...], given: State) -> State:
    op, mark = node.op, Mark(node.name, node.op.kind, node.span)
    raw: Mark | None = None
    if not op.activated(*(state.raw is None for state in inputs)):
        raw = mark if op.role is Role.WEIGHT else _latest_raw(inputs, given)
    alone = inputs[0] if len(inputs) == 1 else State()
    norm, activation = None, None
    if op.role in (Role.PLAIN, Role.ACTIVATION):
        norm = alone.norm
    if op.role is Role.NORM:
        # A normalisation that only repeats an earlier one is reported by itself.
        norm, activation = mark, None if alone.norm else alone.activation
    elif op.role is Role.ACTIVATION:
        activation = mark
    never_negative = op.never_negative(*(state.never_negative for state in inputs))
    return State(raw, never_negative, norm, activation)


def _latest_raw(inputs: tuple[State, ...], given: State) -> Mark | None:
    """Of the weight layers that the inputs are raw since, one of this unit if there is one."""
    marks = [state.raw for state in inputs if state.raw]
    own = [mark for mark in marks if mark != given.raw]
    return next(iter(own or marks), None)


def flows(graph: Graph, found: tuple[Site, ...]) -> list[Flow]:
    """The whole network, from stem to head, without walking the depth."""
    result = [_end(graph.typed(graph.stem_run), ACTIVATED)]
    for site in found:
        result += _repeated(site, _output(result[-1]))
    result.append(_end(graph.typed(graph.head_run), _output(result[-1])))
    return result


def _end(instance: Instance, given: State) -> Flow:
    return Flow(instance, None, follow(instance, None, given), None)


def _repeated(site: Site, given: State) -> Iterator[Flow]:
    """The site's units one by one until they meet what the one before them met."""
    for offset in range(min(site.count, MOST_STATES)):
        states = follow(site.instance, site.parts, given)
        after = states[site.instance.unit.output]
        settled = after == given or offset == MOST_STATES - 1
        count = site.count - offset if settled else 1
        index, start = site.index + offset, site.start + offset
        here = replace(site, index=index, start=start, count=count)
        yield Flow(site.instance, site.parts, states, here)
        if settled:
            return
        given = after


def _output(flow: Flow) -> State:
    return flow.states[flow.instance.unit.output]
