"""What is known of each value as it goes through the network, to a fixpoint over the depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from resgraph.diagnostics import Span
from resgraph.graph import INPUT, Graph, Instance, Node
from resgraph.ops import POINT, Role
from resgraph.prove.parts import Parts
from resgraph.prove.routes import Routes
from resgraph.prove.sites import Site

MOST_STATES = 8
"""How often a repeated unit is followed; what is known settles after two or three times."""


@dataclass(frozen=True)
class Mark:
    """An op met on the way: what it is called, and where it is written.

    Of a weight layer: whether it mixes channels, whether it is 1x1, whether it embeds
    patches that do not overlap, and whether it leaves fewer channels than it reads.
    """

    name: str
    kind: str
    span: Span
    mixes: bool = field(default=True, compare=False)
    pointwise: bool = field(default=False, compare=False)
    embeds: bool = field(default=False, compare=False)
    narrows: bool = field(default=False, compare=False)

    @property
    def weighty(self) -> tuple[bool, ...]:
        """How much it needs an activation behind it, to compare with others."""
        return self.mixes, not self.embeds, not self.narrows


@dataclass(frozen=True)
class State:
    """What is known of a value."""

    raw: Mark | None = None
    """The weight layer since which no activation has acted on it (None: one has)."""
    never_negative: bool = False
    norm: Mark | None = None
    """The normalisation since which nothing but activations and constants acted on it."""
    activation: Mark | None = None
    """The activation since which it has met nothing but normalisations."""


ACTIVATED = State()
"""An activated value of either sign; so is the network's input taken to be."""
STRANGER = State(raw=Mark(INPUT, "", Span("", 0, 0, 0, 0)))
"""A value of which nothing is known."""


@dataclass(frozen=True)
class States:
    """By value, what is known of it; by node, what is known of each value it reads."""

    values: Mapping[str, State]
    reads: Mapping[str, tuple[State, ...]]


@dataclass(frozen=True)
class Flow:
    """Equal units in a row that meet equal inputs, with the states of their values.

    `site` says which they are; it is None for the stem and the head.
    """

    instance: Instance
    parts: Parts | None
    states: States
    site: Site | None

    @cached_property
    def local(self) -> States:
        """What is known if nothing is known of the units' input."""
        return follow(self.instance, self.parts, STRANGER)

    @property
    def given(self) -> State:
        """What is known of the units' input."""
        return self.states.values[self.instance.block.inputs[0]]

    @property
    def output(self) -> State:
        return self.states.values[self.instance.flat.block.output]

    def path(self, node: Node) -> str:
        """The name of a node of the first of them."""
        return self.site.path(node) if self.site else node.name

    def inputs(self) -> Iterator[tuple[Node, tuple[State, ...]]]:
        """Each node with the states of the values it reads."""
        for node in self.instance.steps:
            yield node, self.states.reads[node.name]


def follow(instance: Instance, parts: Parts | None, given: State) -> States:
    """The state of every value of a unit, from that of its input.

    A projection stands in for x: its output counts as activated where its input does, so
    that the shortcut of a unit that changes the shape is judged as the identity would be.
    A gate reads what is there, activated or not.
    """
    graph = Routes.through(instance)
    projections = {node.name for node in parts.breaks_h} if parts else set[str]()
    states, reads = (
        {x: _shared(given, graph, x) for x in graph.inputs},
        dict[str, tuple[State, ...]](),
    )
    for name, node in graph.nodes.items():
        known = tuple(_read(states[i], i, name, graph) for i in graph.reads[name])
        state = _after(node, known, given, graph)
        if name in projections and node.op.role is Role.WEIGHT:
            state = replace(state, raw=_latest_raw(known, given))
        states[name], reads[name] = _shared(state, graph, name), known
    return States(states, reads)


def _read(state: State, value: str, reader: str, graph: Routes) -> State:
    """What is known of a value to its reader: to a gate, that it needs no activation."""
    outside = value in graph.inputs or value in graph.trunk
    return replace(state, raw=None) if outside and reader not in graph.trunk else state


def _shared(state: State, graph: Routes, value: str) -> State:
    """A bare normalisation that also serves other readers is no mere forerunner of a next."""
    bare = state.norm and not state.activation
    return (
        replace(state, norm=None) if bare and len(graph.readers[value]) > 1 else state
    )


def _after(node: Node, inputs: Sequence[State], given: State, graph: Routes) -> State:
    alone = inputs[0] if len(inputs) == 1 else State()
    return State(
        raw=_raw(node, inputs, given, graph),
        never_negative=node.op.never_negative(*(s.never_negative for s in inputs)),
        norm=_norm(node, alone),
        activation=_activation(node, alone),
    )


def _raw(
    node: Node, inputs: Sequence[State], given: State, graph: Routes
) -> Mark | None:
    through = [*inputs]
    if graph.only_scales(node.name):
        values = graph.values(node.name)
        read = zip(graph.reads[node.name], inputs, strict=True)
        through = [state for name, state in read if name in values]
    if node.op.activated(*(state.raw is None for state in through)):
        return None
    latest = _latest_raw(through, given)
    if node.op.role is Role.WEIGHT:
        return _weight(node, latest, graph)
    if latest and latest.narrows and len(inputs) == 1 and not _by_element(node):
        return replace(latest, narrows=False)
    return latest


def _weight(node: Node, before: Mark | None, graph: Routes) -> Mark:
    """The mark of a weight layer. One that mixes nothing only prolongs the one before it."""
    shapes = graph.shapes or {}
    read = [shapes[i] for i in graph.reads[node.name]]
    mixes = node.op.mixes(*read)
    if before and not mixes:
        return before
    reach = node.op.reach() or POINT
    return replace(
        _mark(node),
        mixes=mixes,
        pointwise=reach == POINT,
        embeds=1 < reach.stride == reach.last - reach.first + 1,
        narrows=shapes[node.name][0] < read[0][0],
    )


def _norm(node: Node, alone: State) -> Mark | None:
    if node.op.role is Role.NORM:
        return _mark(node)
    kept = node.op.role in (Role.PLAIN, Role.ACTIVATION) and _by_element(node)
    return alone.norm if kept else None


def _activation(node: Node, alone: State) -> Mark | None:
    if node.op.role is Role.ACTIVATION:
        return _mark(node)
    # A normalisation that only repeats an earlier one is reported by itself.
    kept = node.op.role is Role.NORM and not alone.norm
    return alone.activation if kept else None


def _by_element(node: Node) -> bool:
    """Whether it acts on each element by itself: what pools alters a value's distribution."""
    return node.op.reach() == POINT


def _mark(node: Node) -> Mark:
    return Mark(node.name, node.op.kind, node.span)


def _latest_raw(inputs: Sequence[State], given: State) -> Mark | None:
    """Of the weight layers that the inputs are raw since, the one to tell of.

    One that most needs an activation behind it, and of this unit if there is one.
    """
    marks = [state.raw for state in inputs if state.raw]
    return max(marks, key=lambda mark: (*mark.weighty, mark != given.raw), default=None)


def flows(graph: Graph, found: tuple[Site, ...]) -> list[Flow]:
    """The whole network, from stem to head, without walking the depth."""
    result = list[Flow]()
    given = ACTIVATED
    for end in (graph.stem, *found, graph.head):
        if isinstance(end, Site):
            result += _repeated(end, given)
        elif end is not None:
            result.append(Flow(end, None, follow(end, None, given), None))
        given = result[-1].output if result else given
    return result


def _repeated(site: Site, given: State) -> Iterator[Flow]:
    """The site's units one by one until they meet what the one before them met."""
    for offset in range(min(site.count, MOST_STATES)):
        states = follow(site.instance, site.parts, given)
        after = states.values[site.instance.flat.block.output]
        settled = after == given or offset == MOST_STATES - 1
        count = site.count - offset if settled else 1
        index, start = site.index + offset, site.start + offset
        here = replace(site, index=index, start=start, count=count)
        yield Flow(site.instance, site.parts, states, here)
        if settled:
            return
        given = after
