"""Whether two labelled acyclic graphs are the same one, in a bounded number of steps.

Colours first: what differs in its label or in anything around it gets another colour. Nodes
that still share one are mostly interchangeable, as equal paths side by side are, so pairing
them as they come is tried next. Only where that fails is a node fixed by itself, the colours
refined, and another choice made where they no longer agree.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from resgraph.limits import ISOMORPHISM_STEPS

INPUT = -1
"""What a node that reads the graph's input reads."""
Colours = tuple[list[int], list[int]]
"""Of both graphs; the last colour is the input's. Equal numbers are equal colours."""


class UnsettledError(Exception):
    """The graphs are too symmetric: the steps ran out before it was known."""


@dataclass(frozen=True)
class Labelled:
    """Nodes in a topological order, each with its label and the nodes that it reads."""

    labels: Sequence[Hashable]
    reads: Sequence[tuple[int, ...]]
    free: Sequence[bool]
    """By node, whether its operands may be swapped."""
    output: int

    @cached_property
    def uses(self) -> list[list[tuple[int, int]]]:
        """By value, its readers and the places at which they read it; the input's is last."""
        found: list[list[tuple[int, int]]] = [[] for _ in (*self.labels, INPUT)]
        for i, reads in enumerate(self.reads):
            for place, value in enumerate(reads):
                found[value].append((i, 0 if self.free[i] else place))
        return found

    def ordered(self, i: int, values: list[Any]) -> tuple[Any, ...]:
        """What stands for a node's operands, sorted where their order does not matter."""
        return tuple(sorted(values) if self.free[i] else values)


def isomorphism(
    ours: Labelled, theirs: Labelled, most: int = ISOMORPHISM_STEPS
) -> list[int] | None:
    """For each node of ours the one of theirs that is the same; None where there is none.

    Raises `UnsettledError` after `most` steps, of which each looks at one node.
    """
    if len(ours.labels) != len(theirs.labels):
        return None
    search = _Search(ours, theirs, most)
    colours = search.refined(search.start())
    if colours is None:
        return None
    plainly = search.plainly(colours)
    return search.fixing(colours) if plainly is None else plainly


@dataclass
class _Search:
    ours: Labelled
    theirs: Labelled
    left: int

    def start(self) -> Colours:
        """By label, and by what is the output."""
        keys = [
            [*((label, i == g.output) for i, label in enumerate(g.labels)), g.output]
            for g in (self.ours, self.theirs)
        ]
        for each in keys:
            each[-1] = ("input", each[-1] == INPUT)
        return _numbered(keys[0], keys[1])

    def refined(self, colours: Colours) -> Colours | None:
        """The colours told apart by all that is around; None where the graphs then differ."""
        count = 0
        while count < (count := len({*colours[0]})):
            self.left -= 2 * len(colours[0])
            if self.left < 0:
                raise UnsettledError
            if Counter(colours[0]) != Counter(colours[1]):
                return None
            colours = _numbered(
                _around(self.ours, colours[0]), _around(self.theirs, colours[1])
            )
        return colours if Counter(colours[0]) == Counter(colours[1]) else None

    def plainly(self, colours: Colours) -> list[int] | None:
        """Nodes of one colour that read the same nodes, paired as they come."""
        waiting: dict[Any, list[int]] = defaultdict(list)
        for j in range(len(self.theirs.labels) - 1, -1, -1):
            reads = self.theirs.ordered(j, [*self.theirs.reads[j]])
            waiting[colours[1][j], reads].append(j)
        pairs: list[int] = []
        for i, reads in enumerate(self.ours.reads):
            there = [INPUT if r == INPUT else pairs[r] for r in reads]
            found = waiting.get((colours[0][i], self.ours.ordered(i, there)))
            if not found:
                return None
            pairs.append(found.pop())
        return pairs

    def fixing(self, colours: Colours) -> list[int] | None:
        """A node of each colour fixed in turn, with another choice where that ends nowhere."""
        trail = [self._choices(colours)]
        while trail:
            chosen = next(trail[-1], None)
            if chosen is None:
                trail.pop()
            elif (found := self.plainly(chosen)) is not None:
                return found
            else:
                trail.append(self._choices(chosen))
        return None

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
                both[0][node] = both[1][j] = len(counts)
                if (refined := self.refined(both)) is not None:
                    yield refined


def _around(graph: Labelled, colours: Sequence[int]) -> list[Any]:
    """Each value's colour with those of what it is made of and of what reads it."""
    inputs: list[tuple[Any, ...]] = [
        graph.ordered(i, [colours[r] for r in reads])
        for i, reads in enumerate(graph.reads)
    ]
    uses = (sorted((colours[i], place) for i, place in use) for use in graph.uses)
    return [
        (colour, above, tuple(below))
        for colour, above, below in zip(colours, [*inputs, ()], uses, strict=True)
    ]


def _numbered(ours: Sequence[Any], theirs: Sequence[Any]) -> Colours:
    """Numbers in place of keys, the same number for equal keys."""
    known: dict[Any, int] = {}
    numbers = [
        [known.setdefault(key, len(known)) for key in keys] for keys in (ours, theirs)
    ]
    return numbers[0], numbers[1]
