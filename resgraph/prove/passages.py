"""What is known of each value as it goes through the network, to a fixpoint over the depth."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from resgraph.diagnostics import Span
from resgraph.graph import INPUT, Graph, Instance, Node
from resgraph.graph.dag import Dag
from resgraph.ops import POINT, Role
from resgraph.prove.routes import Routes
from resgraph.prove.sites import Site, Stage, moved

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
    lateral: bool = field(default=False, compare=False)
    """It is on its way to what comes from elsewhere in the network: a lateral connection,
    an up-convolution."""

    @property
    def weighty(self) -> tuple[bool, ...]:
        """How much it needs an activation behind it, to compare with others."""
        return self.mixes, not self.embeds, not self.narrows, not self.lateral


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
Outside = Collection[Mark | None]
"""The marks of a unit's inputs."""
STRANGER = State(raw=Mark(INPUT, "", Span("", 0, 0, 0, 0)))
"""A value of which nothing is known."""


@dataclass(frozen=True)
class States:
    """By value, what is known of it; by node, what is known of each value it reads."""

    values: Mapping[str, State]
    reads: Mapping[str, tuple[State, ...]]


@dataclass(frozen=True)
class Passage:
    """Equal units in a row that meet equal inputs, with the states of their values."""

    site: Site
    states: States
    sources: tuple[Passage | None, ...]
    """By input, what makes it; None: it is the network's own."""

    @property
    def instance(self) -> Instance:
        return self.site.instance

    @cached_property
    def routes(self) -> Routes:
        return Routes.through(self.instance)

    @cached_property
    def local(self) -> States:
        """What is known if nothing is known of the units' inputs."""
        return follow(self.site, [STRANGER for _ in self.routes.inputs])

    @property
    def outputs(self) -> tuple[State, ...]:
        """What is known of its outputs."""
        return tuple(self.states.values[value] for value in self.routes.outputs)

    def inputs(self) -> Iterator[tuple[Node, tuple[State, ...]]]:
        """Each node with the states of the values it reads."""
        for name, node in self.routes.nodes.items():
            yield node, self.states.reads[name]


def follow(site: Site, given: Sequence[State]) -> States:
    """The state of every value of a unit, from those of its inputs.

    A projection stands in for x: its output counts as activated where its input does, so
    that the shortcut of a unit that changes the shape is judged as the identity would be.
    A gate reads what is there, activated or not.
    """
    graph = Routes.through(site.instance)
    projections = {node.name for parts in site.shortcuts for node in parts.breaks_h}
    named = zip(graph.inputs, given, strict=True)
    states = {x: _shared(state, graph, x) for x, state in named}
    reads = dict[str, tuple[State, ...]]()
    outside = {state.raw for state in given}
    for name, node in graph.nodes.items():
        known = tuple(_read(states[i], i, name, graph) for i in graph.reads[name])
        state = _after(node, known, outside, graph)
        if name in projections and node.op.role is Role.WEIGHT:
            state = replace(state, raw=_latest_raw(known, outside))
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


def _after(
    node: Node, inputs: Sequence[State], outside: Outside, graph: Routes
) -> State:
    alone = inputs[0] if len(inputs) == 1 else State()
    return State(
        raw=_raw(node, inputs, outside, graph),
        never_negative=node.op.never_negative(*(s.never_negative for s in inputs)),
        norm=_norm(node, alone),
        activation=_activation(node, alone),
    )


def _raw(
    node: Node, inputs: Sequence[State], outside: Outside, graph: Routes
) -> Mark | None:
    through = [*inputs]
    if graph.only_scales(node.name):
        values = graph.values(node.name)
        read = zip(graph.reads[node.name], inputs, strict=True)
        through = [state for name, state in read if name in values]
    if node.op.activated(*(state.raw is None for state in through)):
        return None
    latest = _latest_raw(through, outside)
    if node.op.role is Role.WEIGHT:
        return _weight(node, latest, graph)
    if latest and latest.narrows and len(inputs) == 1 and not _by_element(node):
        return replace(latest, narrows=False)
    own = latest and not any(latest is mark for mark in outside)
    if latest and own and graph.meets(node.name):
        return replace(latest, lateral=True)
    return latest


def _weight(node: Node, before: Mark | None, graph: Routes) -> Mark:
    """The mark of a weight layer. One that mixes nothing only prolongs the one before it."""
    shapes = graph.shapes or {}
    read = [shapes[i] for i in graph.reads[node.name]]
    mixes = node.op.mixes(*read)
    if before and not mixes:
        return before
    reach = node.op.receptive_field() or POINT
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
    return node.op.receptive_field() == POINT


def _mark(node: Node) -> Mark:
    return Mark(node.name, node.op.kind, node.span)


def _latest_raw(inputs: Sequence[State], outside: Outside) -> Mark | None:
    """Of the weight layers that the inputs are raw since, the one to tell of.

    One that most needs an activation behind it, and of this unit if there is one.
    """
    marks = [state.raw for state in inputs if state.raw]
    return max(
        marks, key=lambda mark: (*mark.weighty, mark not in outside), default=None
    )


Known = tuple[State, Passage | None]
"""What is known of a value, and what makes it."""


def passages(graph: Graph, found: Sequence[Stage]) -> list[Passage]:
    """The whole network, from its input to its outputs, without walking the depth."""
    result = list[Passage]()
    block = graph.network.block
    made: dict[str, Known] = {block.inputs[0]: (ACTIVATED, None)}
    readers = Dag.of(block).readers
    for stage in found:
        row, given = stage.row, [made[value] for value in stage.row.inputs]
        for site in stage.sites:
            more, given = _repeated(site, given)
            result += more
        several = len(readers[row.name]) > 1
        given = [
            (_serving(*known) if several else known[0], known[1]) for known in given
        ]
        made |= zip(stage.values, given, strict=True)
    return result


def _serving(state: State, passage: Passage | None) -> State:
    """What is known of a value to its several readers."""
    if state.raw and state.raw.pointwise and passage and not passage.site.shortcuts:
        return replace(state, raw=replace(state.raw, lateral=True))
    return state


def _repeated(site: Site, given: list[Known]) -> tuple[list[Passage], list[Known]]:
    """The site's units one by one until they meet what the one before them met."""
    found, settled = list[Passage](), False
    for offset in range(min(site.count, MOST_STATES)):
        one, after = _through(site.part(offset, 1), given)
        settled = [state for state, _ in after] == [state for state, _ in given]
        if settled or offset == MOST_STATES - 1:
            rest, after = _through(site.part(offset, site.count - offset), given)
            return [*found, *rest], after
        found, given = [*found, *one], after
    return found, given


def _through(site: Site, given: list[Known]) -> tuple[list[Passage], list[Known]]:
    """The passages of the first of the site's units, or of what is in it, and what comes out."""
    found = list[Passage]()
    for inner in site.inner:
        assert isinstance(inner.outer, Site)
        here = moved(inner, site, site.start - inner.outer.start)
        more, given = _repeated(here, given)
        found += more
    if not site.inner:
        states = follow(site, [state for state, _ in given])
        found = [Passage(site, states, tuple(passage for _, passage in given))]
        given = [(state, found[0]) for state in found[0].outputs]
    return found, given
