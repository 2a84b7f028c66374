"""Whether two labelled acyclic graphs are the same one: the pairing, or where the two part.

Colours first: a value's colour stands for all that it is computed from, and then for all that
is computed from it. Nodes that still share one are mostly interchangeable, as equal paths side
by side are, so they are paired as they come; both take as long as the graphs are large. Only
where that fails are the colours told apart as far as they can be, a node is fixed by itself,
and another choice made where they no longer agree: that ends after a bounded number of steps.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from resgraph.limits import ISOMORPHISM_STEPS

INPUT = -1
"""What a node that reads the graph's first input reads; the inputs after it are -2, -3, ..."""
Short = Callable[[Hashable], Any]
"""A short name for a key, the same one for equal keys."""
Colours = tuple[list[Any], list[Any]]
"""Of the values of both graphs, the inputs' at their negative indices."""


class UnsettledError(Exception):
    """Two graphs, given by their titles, are too symmetric: the steps ran out."""


@dataclass(frozen=True)
class Repeated:
    """The label of a node that stands for blocks one after the other: (block, how often).

    What stands for a block is for the caller to say: its number among `Distinct` ones.
    """

    row: tuple[tuple[Hashable, int], ...]


@dataclass(frozen=True)
class Labelled:
    """Nodes in a topological order, each with its label and the values that it reads."""

    labels: Sequence[Hashable]
    reads: Sequence[tuple[int, ...]]
    commutes: Sequence[bool]
    """By node, whether its operands may be swapped."""
    outputs: tuple[int, ...]
    inputs: int = 1
    associates: Sequence[bool] = ()
    """By node, whether an operand of the same label may be written out: (a + b) + c."""
    names: Sequence[Hashable] = ()
    """By node; where either of two will do, the one of the same name is preferred."""
    title: str = ""
    """What it is called in a message."""

    @cached_property
    def uses(self) -> list[list[tuple[int, tuple[int, ...]]]]:
        """By value, its readers, each with the places at which it reads it."""
        found: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in self.values]
        for i, reads in enumerate(self.reads):
            places: dict[int, list[int]] = defaultdict(list)
            for place, value in enumerate(reads):
                places[value].append(0 if self.commutes[i] else place)
            for value, at in places.items():
                found[value].append((i, tuple(at)))
        return found

    @cached_property
    def results(self) -> list[tuple[int, ...]]:
        """By value, which of the outputs it is."""
        found: list[tuple[int, ...]] = [() for _ in self.values]
        for place, value in enumerate(self.outputs):
            found[value] += (place,)
        return found

    @property
    def values(self) -> range:
        """All values, each after what is computed from it: nodes, and then the inputs."""
        return range(len(self.labels) - 1, -1 - self.inputs, -1)

    def ordered(self, i: int, values: Iterable[Any]) -> tuple[Any, ...]:
        """What stands for a node's operands, sorted where their order does not matter."""
        return tuple(sorted(values) if self.commutes[i] else values)

    def name(self, i: int) -> Hashable:
        return self.names[i] if self.names else None


@dataclass(frozen=True)
class Pairing:
    """The two are the same graph."""

    nodes: Mapping[int, int]
    """Ours -> theirs. Of sums that are grouped in two ways, and of rows that are cut in two
    ways, the last nodes are a pair, and those before them have no partner."""
    regrouped: bool = False
    """Whether they are the same only if `(a + b) + c` is `a + (b + c)`: up to rounding."""


@dataclass(frozen=True)
class Parting:
    """The first node of each graph that the other does not have.

    None where one of them has all that the other has, and more.
    """

    ours: int | None
    theirs: int | None
    why: str
    settled: bool = True
    """Whether it is known that they part; else they are too symmetric to tell."""


def isomorphism(
    ours: Labelled,
    theirs: Labelled,
    most: int = ISOMORPHISM_STEPS,
    regroup: bool = True,
) -> Pairing | Parting:
    """Which nodes are the same, or where the two part; each search looks at `most` nodes.

    Without `regroup`, sums must be grouped alike too.
    """
    exact = [_Folded.of(graph, regroup=False) for graph in (ours, theirs)]
    found = _isomorphism(exact, most)
    if isinstance(found, Pairing) or not regroup:
        return found
    loose = [_Folded.of(graph, regroup=True) for graph in (ours, theirs)]
    if [len(each.origin) for each in loose] == [len(each.origin) for each in exact]:
        return found
    again = _isomorphism(loose, most)
    return replace(again, regrouped=True) if isinstance(again, Pairing) else again


def canonical(graph: Labelled, regroup: bool = False) -> str:
    """A digest that isomorphic graphs share; with `regroup`, up to how sums are grouped.

    It is made in linear time of all that each value is computed from and is used for, so
    graphs that look alike from every node may share it too, as cycles of sums over 6 and over
    3 + 3 values do. Who must know asks `isomorphism`, as `Distinct` does.
    """
    graph = _Folded.of(graph, regroup).graph
    _, down = _swept(graph, _labels(graph, _digest), _digest)
    return _digest(tuple(sorted(down)))


@dataclass
class Distinct:
    """A number for each graph, the same one for isomorphic ones.

    With `regroup`, up to how sums are grouped.
    """

    regroup: bool = False
    _known: dict[str, list[tuple[int, Labelled]]] = field(default_factory=dict)

    def number(self, graph: Labelled) -> int:
        """Raises `UnsettledError` where it is not known within a bounded number of steps."""
        alike = self._known.setdefault(canonical(graph, self.regroup), [])
        for number, other in alike:
            if self._same(graph, other):
                return number
        alike.append((sum(map(len, self._known.values())), graph))
        return alike[-1][0]

    def _same(self, graph: Labelled, other: Labelled) -> bool:
        found = isomorphism(graph, other, regroup=self.regroup)
        if isinstance(found, Parting) and not found.settled:
            raise UnsettledError(graph.title, other.title)
        return isinstance(found, Pairing)


def in_order_of(mine: Sequence[str], others: Sequence[str]) -> Sequence[int]:
    """For each output of ours which of the others it is: by name where both have the same
    names, each once, else in order."""
    distinct = len({*mine, ""}) == len(mine) + 1
    if distinct and sorted(mine) == sorted(others):
        return [others.index(name) for name in mine]
    return range(len(others))


def gathered(row: Iterable[tuple[Hashable, int]]) -> tuple[tuple[Hashable, int], ...]:
    """Blocks one after the other, each with how often: equal neighbours as one."""
    groups = groupby(row, key=lambda pair: pair[0])
    return tuple((block, sum(n for _, n in group)) for block, group in groups)


# --- chains as one node ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Folded:
    """A graph with its rows of blocks, and perhaps its nested sums, as one node each."""

    graph: Labelled
    origin: Sequence[int]
    """The node that each node was: the last one of its chain."""

    @classmethod
    def of(cls, graph: Labelled, regroup: bool) -> _Folded:
        rows = any(isinstance(label, Repeated) for label in graph.labels)
        if not rows and not (regroup and any(graph.associates)):
            return cls(graph, range(len(graph.labels)))
        inner = {
            r
            for i, reads in enumerate(graph.reads)
            for r in reads
            if r >= 0 and _joins(graph, i, r, regroup)
        }
        last = [i for i in range(len(graph.labels)) if i not in inner]
        number = {i: k for k, i in enumerate(last)}
        chains = [_chain(graph, i, inner) for i in last]
        kept = replace(
            graph,
            labels=[_label(graph, chain) for chain, _ in chains],
            reads=[tuple(number.get(r, r) for r in reads) for _, reads in chains],
            commutes=[graph.commutes[i] for i in last],
            outputs=tuple(number.get(o, o) for o in graph.outputs),
            associates=[graph.associates[i] for i in last] if graph.associates else (),
            names=[graph.names[i] for i in last] if graph.names else (),
        )
        return cls(kept, last)

    def of_origin(self, node: int | None) -> int | None:
        return None if node is None else self.origin[node]


def _joins(graph: Labelled, i: int, r: int, regroup: bool) -> bool:
    """Whether a node takes the place of one that it alone reads, once."""
    if [len(at) for _, at in graph.uses[r]] != [1] or graph.results[r]:
        return False
    if isinstance(graph.labels[i], Repeated):
        return isinstance(graph.labels[r], Repeated) and len(graph.reads[i]) == 1
    return (
        regroup
        and bool(graph.associates)
        and graph.associates[i]
        and graph.labels[i] == graph.labels[r]
    )


def _chain(
    graph: Labelled, last: int, inner: set[int]
) -> tuple[list[int], tuple[int, ...]]:
    """The nodes that become one, the last one first, and what they read from elsewhere."""
    nodes, reads = [last], list[int]()
    left = [*reversed(graph.reads[last])]
    while left:
        value = left.pop()
        if value in inner:
            nodes.append(value)
            left += reversed(graph.reads[value])
        else:
            reads.append(value)
    return nodes, tuple(reads)


def _label(graph: Labelled, chain: Sequence[int]) -> Hashable:
    labels = [graph.labels[i] for i in reversed(chain)]
    rows = [label.row for label in labels if isinstance(label, Repeated)]
    return Repeated(gathered(b for row in rows for b in row)) if rows else labels[-1]


# --- colours --------------------------------------------------------------------------------


def _digest(key: Hashable) -> str:
    return hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()


def _numbers() -> Short:
    """Numbers as names."""
    known: dict[Hashable, int] = {}
    return lambda key: known.setdefault(key, len(known))


def _labels(graph: Labelled, short: Short) -> list[Any]:
    """The first colours: what each node does, and which input is which."""
    inputs = [short(("input", number)) for number in range(graph.inputs)]
    return [*(short((label,)) for label in graph.labels), *reversed(inputs)]


def _swept(
    graph: Labelled, colours: Sequence[Any], short: Short
) -> tuple[list[Any], list[Any]]:
    """Colours by all that each value is computed from, and then by what it is used for."""
    up = [*colours]
    for value in reversed(graph.values):
        reads = graph.reads[value] if value >= 0 else ()
        above = graph.ordered(value, [up[r] for r in reads]) if reads else ()
        up[value] = short((up[value], above))
    down = [*up]
    for value in graph.values:
        uses = sorted((down[i], at) for i, at in graph.uses[value])
        down[value] = short((up[value], tuple(uses), graph.results[value]))
    return up, down


def _both_swept(ours: Labelled, theirs: Labelled, colours: Colours) -> list[Colours]:
    """Colours of both upwards, and then downwards."""
    short = _numbers()
    mine, others = _swept(ours, colours[0], short), _swept(theirs, colours[1], short)
    return [*zip(mine, others, strict=True)]


# --- pairing --------------------------------------------------------------------------------


def _isomorphism(both: Sequence[_Folded], most: int) -> Pairing | Parting:
    one, two = both
    found = _paired(one.graph, two.graph, most)
    if isinstance(found, Parting):
        places = one.of_origin(found.ours), two.of_origin(found.theirs)
        return replace(found, ours=places[0], theirs=places[1])
    return Pairing({one.origin[i]: two.origin[j] for i, j in enumerate(found)})


def _paired(ours: Labelled, theirs: Labelled, most: int) -> list[int] | Parting:
    """For each node of ours the one of theirs."""
    short = _numbers()
    up, down = _both_swept(ours, theirs, (_labels(ours, short), _labels(theirs, short)))
    mine, others = ([up[k][o] for o in g.outputs] for k, g in enumerate((ours, theirs)))
    if (ours.inputs, mine) != (theirs.inputs, others):
        return _differing(up[0][: len(ours.labels)], up[1][: len(theirs.labels)])
    found = _as_they_come(ours, theirs, down)
    if not isinstance(found, Parting):
        return found
    try:
        pairs = _Search(ours, theirs, most).found(down)
    except UnsettledError:
        why = f"too symmetric to tell within {most:,} steps"
        return replace(found, why=why, settled=False)
    return found if pairs is None else pairs


def _differing(up: Sequence[Any], their_up: Sequence[Any]) -> Parting:
    mine, others = {*up}, {*their_up}
    first = next((i for i, colour in enumerate(up) if colour not in others), None)
    second = next((i for i, colour in enumerate(their_up) if colour not in mine), None)
    if first is None and second is None:
        return Parting(None, None, "they take or return other values")
    return Parting(first, second, "they compute different things")


def _as_they_come(
    ours: Labelled, theirs: Labelled, colours: Colours
) -> list[int] | Parting:
    """Nodes of one colour that read the same nodes, those of one name first."""
    waiting: dict[Any, deque[int]] = defaultdict(deque)
    for j, reads in enumerate(theirs.reads):
        key = colours[1][j], theirs.ordered(j, reads)
        waiting[key].append(j)
        waiting[key, theirs.name(j)].append(j)
    taken = set[int]()
    pairs: list[int] = []
    for i, reads in enumerate(ours.reads):
        there = (r if r < 0 else pairs[r] for r in reads)
        key = colours[0][i], ours.ordered(i, there)
        found = _next(waiting[key, ours.name(i)], taken)
        found = _next(waiting[key], taken) if found is None else found
        if found is None:
            why = "the same ops, but values are shared between them in another way"
            left = (j for j in range(len(theirs.labels)) if j not in taken)
            alike = (j for j in left if colours[1][j] == colours[0][i])
            return Parting(i, next(alike, None), why)
        pairs.append(found)
        taken.add(found)
    if len(taken) < len(theirs.labels):
        over = next(j for j in range(len(theirs.labels)) if j not in taken)
        return Parting(None, over, "they compute more than is needed for the same")
    return pairs


def _next(waiting: deque[int], taken: set[int]) -> int | None:
    """The first one that is still to be had."""
    while waiting and waiting[0] in taken:
        waiting.popleft()
    return waiting.popleft() if waiting else None


@dataclass
class _Search:
    """Nodes fixed one after the other, where colours alone do not pair them."""

    ours: Labelled
    theirs: Labelled
    left: int

    def found(self, colours: Colours) -> list[int] | None:
        """A node of each colour fixed in turn, with another choice where that ends nowhere."""
        trail = [iter(self._refined(colours))]
        while trail:
            chosen = next(trail[-1], None)
            if chosen is None:
                trail.pop()
                continue
            pairs = _as_they_come(self.ours, self.theirs, chosen)
            if not isinstance(pairs, Parting):
                return pairs
            trail.append(self._choices(chosen))
        return None

    def _refined(self, colours: Colours) -> list[Colours]:
        """The colours told apart by all that is around; none where the graphs then differ."""
        count = 0
        while count < (count := len({*colours[0]})):
            self.left -= len(colours[0]) + len(colours[1])
            if self.left < 0:
                raise UnsettledError(self.ours.title, self.theirs.title)
            if Counter(colours[0]) != Counter(colours[1]):
                return []
            colours = _both_swept(self.ours, self.theirs, colours)[1]
        return [colours] if Counter(colours[0]) == Counter(colours[1]) else []

    def _choices(self, colours: Colours) -> Iterator[Colours]:
        """The colours with one of our nodes fixed, as each node of theirs that it may be."""
        mine, others = colours
        counts = Counter(mine)
        several = [i for i, colour in enumerate(mine) if counts[colour] > 1]
        if not several:
            return
        node = min(several, key=lambda i: counts[mine[i]])
        for j, colour in enumerate(others):
            if colour == mine[node]:
                both = [*mine], [*others]
                both[0][node] = both[1][j] = -1  # like no other
                yield from self._refined(both)
